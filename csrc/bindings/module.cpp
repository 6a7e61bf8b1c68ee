// The extension module: one function per family registers its part.
#include "bindings/families.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native kernels and engine of pycompress.";
  pycompress::bind_bf16(module);
  pycompress::bind_checksum(module);
  pycompress::bind_cpu(module);
  pycompress::bind_data_op(module);
  pycompress::bind_gemm(module);
  pycompress::bind_graph(module);
  pycompress::bind_int4(module);
  pycompress::bind_limits(module);
  pycompress::bind_linear(module);
  pycompress::bind_conv(module);  // after the activations, which it takes
  pycompress::bind_onnx(module);
  pycompress::bind_onnx_graph(module);
  pycompress::bind_pointwise(module);
  pycompress::bind_program(module);
  pycompress::bind_quantize(module);
  pycompress::bind_survey(module);
}
