// 4-bit weights and products with them, from Python. Checks here; kernels trust.
#include "int4/int4.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/matrix.h"
#include "bindings/packed.h"
#include "dispatch/dispatch.h"

namespace pycompress {
namespace {

struct PackedInt4Weights {
  PackedInt4 panels;
  std::vector<float> bias;  // [N], or empty
};

PackedInt4Weights pack_int4_weights(const py::array& data, const py::array& scale,
                                    py::handle zero_point, int64_t k, int64_t n, int64_t block,
                                    py::handle bias, const std::string& isa) {
  if (!is_int4_block(block))
    throw py::value_error("pack_int4: block is " + std::to_string(block) +
                          ", wanted 32, 64 or 128");
  Int4Weights w;
  w.k = k;
  w.n = n;
  w.block = block;
  const Extents blocks = {n, (k + block - 1) / block};
  w.data = need<uint8_t>("pack_int4: data", data, {blocks[0], blocks[1], block / 2});
  w.scale = need<float>("pack_int4: scale", scale, blocks);
  py::array zeros;
  if (!zero_point.is_none()) {
    zeros = need_array("pack_int4", "zero_point", zero_point);
    w.zero_point = need<uint8_t>("pack_int4: zero_point", zeros, blocks);
    for (py::ssize_t i = 0; i < zeros.size(); ++i) {
      if (w.zero_point[i] > 15)
        throw py::value_error("pack_int4: zero_point has " + std::to_string(w.zero_point[i]) +
                              ", wanted 0 to 15");
    }
  }
  PackedInt4Weights packed;
  packed.bias = need_floats("pack_int4", "bias", bias, n, "column of w");
  const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
  const py::gil_scoped_release nogil;
  packed.panels = pack_int4(set, w);
  return packed;
}

py::array int4_product(const py::array& a, const PackedInt4Weights& w, py::handle out) {
  const char* function = "gemm_int4";
  const PackedInt4& b = w.panels;
  const Matrix in = need_float_matrix(function, a, b.k, b.n);
  Result r = result_for(function, a, in, b.n, Type::f32, out);
  Epilogue e;
  e.out = Out::f32;
  e.bias = w.bias.empty() ? nullptr : w.bias.data();
  without_gil(in.rows * b.k * b.n > 100'000, [&](ThreadPool* pool) {
    gemm_int4(reinterpret_cast<const float*>(in.data), in.ld, b, in.rows, e, r.matrix.data,
              r.matrix.ld, pool);
  });
  return r.array;
}

}  // namespace

void bind_int4(py::module_& module) {
  py::class_<PackedInt4Weights>(module, "PackedInt4",
                                "4-bit weights [K, N] in the panels of one instruction set.")
      .def_property_readonly(
          "shape",
          [](const PackedInt4Weights& w) { return py::make_tuple(w.panels.k, w.panels.n); })
      .def_property_readonly("block", [](const PackedInt4Weights& w) { return w.panels.block; })
      .def_property_readonly(
          "isa", [](const PackedInt4Weights& w) { return std::string(w.panels.set->name); })
      .def_property_readonly("nbytes",
                             [](const PackedInt4Weights& w) { return w.panels.panels.size(); })
      .def("__repr__", [](const PackedInt4Weights& w) {
        return "PackedInt4(shape=(" + std::to_string(w.panels.k) + ", " +
               std::to_string(w.panels.n) + "), block=" + std::to_string(w.panels.block) +
               ", isa='" + w.panels.set->name + "')";
      });
  module.def("pack_int4", &pack_int4_weights, py::arg("data"), py::arg("scale"),
             py::arg("zero_point"), py::arg("k"), py::arg("n"), py::arg("block"),
             py::arg("bias") = py::none(), py::arg("isa") = "");
  module.def("gemm_int4", &int4_product, py::arg("a"), py::arg("packed"), py::arg("out"));
  module.def(
      "int4_tile",
      [](const std::string& isa) {
        const Int4Kernels& kernel = *(isa.empty() ? active_set() : find_set(isa)).int4;
        return py::make_tuple(kernel.mr, kernel.nr);
      },
      "Rows and columns of an instruction set's tile of 4-bit weights.", py::arg("isa") = "");
}

}  // namespace pycompress
