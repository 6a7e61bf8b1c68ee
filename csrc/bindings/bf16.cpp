// bfloat16 weights and products with them, from Python. Checks here; kernels trust.
#include "bf16/bf16.h"

#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/matrix.h"
#include "bindings/packed.h"
#include "conv/bf16.h"
#include "dispatch/dispatch.h"

namespace pycompress {
namespace {

struct PackedBf16Weights {
  PackedBf16 panels;
  std::vector<float> bias;  // [N], or empty
};

PackedBf16Weights pack_bf16_weights(const py::array& w, py::handle bias, const std::string& isa) {
  if (w.ndim() != 2)
    throw py::value_error("pack_bf16: w has shape " + shape_of(w) + ", wanted [K, N]");
  if (type_of(w) != Type::f32)
    throw py::type_error("pack_bf16: w has dtype " + dtype_of(w) + ", wanted float32");
  const int64_t item = w.itemsize();
  if (w.strides(0) % item != 0 || w.strides(1) % item != 0)
    throw py::value_error("pack_bf16: w has strides that are no multiples of its items");
  PackedBf16Weights packed;
  packed.bias = need_floats("pack_bf16", "bias", bias, w.shape(1), "column of w");
  const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
  const auto* data = static_cast<const float*>(w.data());
  const int64_t k = w.shape(0);
  const int64_t n = w.shape(1);
  const int64_t k_stride = w.strides(0) / item;
  const int64_t n_stride = w.strides(1) / item;
  const py::gil_scoped_release nogil;
  packed.panels = pack_bf16(set, data, 1, k, n, 0, k_stride, n_stride);
  return packed;
}

py::array bf16_product(const py::array& a, const PackedBf16Weights& w, py::handle out) {
  const char* function = "gemm_bf16";
  const PackedBf16& b = w.panels;
  const Matrix in = need_float_matrix(function, a, b.k, b.n);
  Result r = result_for(function, a, in, b.n, Type::f32, out);
  Epilogue e;
  e.out = Out::f32;
  e.bias = w.bias.empty() ? nullptr : w.bias.data();
  without_gil(in.rows * b.k * b.n > 100'000, [&](ThreadPool* pool) {
    gemm_bf16(reinterpret_cast<const float*>(in.data), in.ld, b, in.rows, e, r.matrix.data,
              r.matrix.ld, pool);
  });
  return r.array;
}

struct PackedBf16Convolution {
  PackedConvBf16 conv;
  Extents shape;            // of the weights
  std::vector<float> bias;  // [O], or empty
};

PackedBf16Convolution pack_filters(const py::array& w, py::handle bias,
                                   const std::vector<int64_t>& strides,
                                   const std::vector<int64_t>& pads,
                                   const std::vector<int64_t>& dilations, const std::string& isa) {
  const auto* data = need<float>("pack_conv_bf16: w", w);
  if (w.ndim() < 3 || w.ndim() > 5 || w.size() == 0)
    throw py::value_error("pack_conv_bf16: w has shape " + shape_of(w) +
                          ", wanted [O, I, k...] with 1 to 3 spatial dimensions");
  PackedBf16Convolution packed;
  packed.shape = shape_vector(w);
  packed.bias = need_floats("pack_conv_bf16", "bias", bias, w.shape(0), "filter");
  const std::vector<int64_t> kernel(packed.shape.begin() + 2, packed.shape.end());
  const Window window = Window::from_attributes(kernel, strides, dilations, pads, "", false);
  const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
  const py::gil_scoped_release nogil;
  packed.conv = conv_bf16_form(packed.shape[0], packed.shape[1], window);
  packed.conv.panels = pack_filters_bf16(set, packed.conv, data);
  return packed;
}

py::array convolve(const py::array& x, const PackedBf16Convolution& k, py::handle out) {
  const auto* data = need<float>("conv_bf16: x", x);
  const int rank = k.conv.window.rank;
  if (x.ndim() != rank + 2 || x.shape(rank + 1) != k.conv.channels)
    throw py::value_error("conv_bf16: x has shape " + shape_of(x) + ", wanted [N, " +
                          (rank == 1   ? "W"
                           : rank == 2 ? "H, W"
                                       : "D, H, W") +
                          ", " + std::to_string(k.conv.channels) + "]");
  const Extents spatial(x.shape() + 1, x.shape() + 1 + rank);
  const Placement at = place(k.conv.window, x.shape(0), spatial.data());
  Extents shape{at.batch};
  shape.insert(shape.end(), at.out + 3 - rank, at.out + 3);
  shape.push_back(k.conv.filters);
  const py::array y = need_out<float>("conv_bf16: out", out, shape);
  need_apart("conv_bf16: out", y, "x", x, false);
  Epilogue e;
  e.out = Out::f32;
  e.bias = k.bias.empty() ? nullptr : k.bias.data();
  auto* to = static_cast<float*>(const_cast<void*>(y.data()));
  const int64_t macs = at.pixels() * k.conv.filters * k.conv.channels * at.window.taps();
  without_gil(macs > 100'000, [&](ThreadPool* pool) { conv_bf16(data, k.conv, at, e, to, pool); });
  return y;
}

}  // namespace

void bind_bf16(py::module_& module) {
  py::class_<PackedBf16Weights>(module, "PackedBf16",
                                "bfloat16 weights [K, N] in the panels of one kernel.")
      .def_property_readonly(
          "shape",
          [](const PackedBf16Weights& w) { return py::make_tuple(w.panels.k, w.panels.n); })
      .def_property_readonly(
          "isa", [](const PackedBf16Weights& w) { return std::string(w.panels.kernel->name); })
      .def_property_readonly("nbytes",
                             [](const PackedBf16Weights& w) { return w.panels.panels.size(); })
      .def("__repr__", [](const PackedBf16Weights& w) {
        return "PackedBf16(shape=(" + std::to_string(w.panels.k) + ", " +
               std::to_string(w.panels.n) + "), isa='" + w.panels.kernel->name + "')";
      });
  module.def("pack_bf16", &pack_bf16_weights, py::arg("w"), py::arg("bias") = py::none(),
             py::arg("isa") = "");
  module.def("gemm_bf16", &bf16_product, py::arg("a"), py::arg("packed"), py::arg("out"));
  py::class_<PackedBf16Convolution>(module, "PackedBf16Convolution",
                                    "bfloat16 filters [O, I, k...] in the panels of one kernel.")
      .def_property_readonly(
          "shape",
          [](const PackedBf16Convolution& k) {
            return py::typing::Tuple<int64_t, py::ellipsis>(py::tuple(py::cast(k.shape)));
          })
      .def_property_readonly(
          "isa",
          [](const PackedBf16Convolution& k) { return std::string(k.conv.panels.kernel->name); })
      .def_property_readonly(
          "nbytes", [](const PackedBf16Convolution& k) { return k.conv.panels.panels.size(); })
      .def("__repr__", [](const PackedBf16Convolution& k) {
        return "PackedBf16Convolution(shape=" + text(k.shape) + ", isa='" +
               k.conv.panels.kernel->name + "')";
      });
  module.def("pack_conv_bf16", &pack_filters, py::arg("w"), py::arg("bias"), py::arg("strides"),
             py::arg("pads"), py::arg("dilations"), py::arg("isa") = "");
  module.def("conv_bf16", &convolve, py::arg("x"), py::arg("packed"), py::arg("out"));
  module.def(
      "bf16_isa", [] { return std::string(bf16_of(active_set()).name); },
      "The bf16 kernel of the instruction set in use.");
  module.def(
      "bf16_tile",
      [](const std::string& isa) {
        const Bf16Kernel& kernel = bf16_of(isa.empty() ? active_set() : find_set(isa));
        return py::make_tuple(kernel.mr, kernel.nr, kernel.kr);
      },
      "Rows, columns and depth step of a bf16 kernel's tile.", py::arg("isa") = "");
}

}  // namespace pycompress
