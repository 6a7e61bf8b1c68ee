# Sourced: the tests of the kernels alone, which need neither onnx nor onnxruntime and start no other process.
shopt -s nullglob
kernel_tests=(tests/test_{gemm,quantize,pointwise,conv,depthwise,int4,bf16,digests,qmatmul}*.py)
shopt -u nullglob
[ ${#kernel_tests[@]} -gt 0 ] || { echo "no kernel tests found in tests/"; exit 1; }
