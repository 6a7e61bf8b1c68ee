# Sourced: the tests of the kernels alone, which need neither onnx nor onnxruntime and start no other process.
shopt -s nullglob
kernel_tests=(tests/test_{gemm,quantize,pointwise,conv,depthwise}*.py)
shopt -u nullglob
# qemu-user cannot fork a process that has threads.
kernel_tests+=(--deselect tests/test_gemm_threads.py::test_forked_child_computes_with_threads_of_its_own)
[ ${#kernel_tests[@]} -gt 2 ] || { echo "no kernel tests found in tests/"; exit 1; }
