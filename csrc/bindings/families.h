// One binding function per family; module.cpp calls them all.
#pragma once
#include <pybind11/pybind11.h>

namespace pycompress {

void bind_cpu(pybind11::module_& module);
void bind_bf16(pybind11::module_& module);
void bind_checksum(pybind11::module_& module);
void bind_conv(pybind11::module_& module);
void bind_data_op(pybind11::module_& module);
void bind_gemm(pybind11::module_& module);
void bind_graph(pybind11::module_& module);
void bind_int4(pybind11::module_& module);
void bind_limits(pybind11::module_& module);
void bind_linear(pybind11::module_& module);
void bind_onnx(pybind11::module_& module);
void bind_onnx_graph(pybind11::module_& module);
void bind_pointwise(pybind11::module_& module);
void bind_program(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);
void bind_survey(pybind11::module_& module);

}  // namespace pycompress
