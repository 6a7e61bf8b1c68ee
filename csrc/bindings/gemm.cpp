// Packed weights and exact products with them, from Python. Checks here; kernels trust.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/direct.h"
#include "bindings/families.h"
#include "bindings/matmul.h"
#include "bindings/packed.h"
#include "dispatch/dispatch.h"

namespace pycompress {
namespace {

py::object qgemm(PyObject* const* args) {
  const py::array a = need_array("qgemm", "a", args[0]);
  const PackedWeights& w = need_packed("qgemm", args[1]);
  const py::handle a_zero_point = args[2];
  const py::handle out = args[3];
  const Matrix in = need_integers("qgemm", "a", a, w);
  Epilogue e;
  const Terms terms(
      w, in, need_zero_points("qgemm", "a_zero_point", a_zero_point, in.type, in.rows, "row of a"),
      e);
  Result r = result_for("qgemm", a, in, w.panels.n, Type::s32, out);
  without_gil(worth_release(in, w), [&](ThreadPool* pool) {
    gemm(operand(in), w.panels, in.rows, e, r.matrix.data, r.matrix.ld, pool);
  });
  return r.array;
}

py::object floats_or_none(const std::vector<float>& values) {
  if (values.empty()) return py::none();
  return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

}  // namespace

void bind_gemm(py::module_& module) {
  py::class_<PackedWeights>(module, "PackedWeights",
                            "Weights [K, N] in the panels of one instruction set.")
      .def_property_readonly(
          "shape", [](const PackedWeights& w) { return py::make_tuple(w.panels.k, w.panels.n); })
      .def_property_readonly("dtype", [](const PackedWeights& w) { return w.dtype; })
      .def_property_readonly("isa",
                             [](const PackedWeights& w) { return std::string(w.panels.set->name); })
      .def_property_readonly("nbytes",
                             [](const PackedWeights& w) { return w.panels.panels.size(); })
      .def_property_readonly("scale",
                             [](const PackedWeights& w) { return floats_or_none(w.scale); })
      .def_property_readonly("bias", [](const PackedWeights& w) { return floats_or_none(w.bias); })
      .def("__repr__", [](const PackedWeights& w) {
        return "PackedWeights(shape=(" + std::to_string(w.panels.k) + ", " +
               std::to_string(w.panels.n) + "), dtype='" + w.dtype + "', isa='" +
               w.panels.set->name + "')";
      });
  module.def("pack", &pack, py::arg("w"), py::arg("scale") = py::none(),
             py::arg("bias") = py::none(), py::arg("zero_point") = py::none(), py::arg("isa") = "");
  static PyMethodDef functions[] = {
      direct<4, qgemm>("qgemm",
                       "qgemm(a: numpy.ndarray, packed: PackedWeights, a_zero_point: typing.Any, "
                       "out: typing.Any) -> numpy.ndarray"),
      direct<5, qmatmul>("qmatmul",
                         "qmatmul(a: numpy.ndarray, b: numpy.ndarray, a_zero_point: typing.Any, "
                         "b_zero_point: typing.Any, out: typing.Any) -> numpy.ndarray"),
      {}};
  add_direct(module, functions);
  module.def(
      "gemm_tile",
      [](const std::string& isa, bool is_float) {
        const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
        const GemmKernel& kernel = is_float ? set.gemm->f32 : set.gemm->s8;
        TileShape largest{0, 0};
        for (const TileShape& shape : kernel.shapes) {
          largest.rows = std::max(largest.rows, shape.rows);
          largest.panels = std::max(largest.panels, shape.panels);
        }
        return py::make_tuple(largest.rows, largest.panels * kernel.nr, kernel.kr);
      },
      "Most rows, most columns and the depth step of an instruction set's tiles.",
      py::arg("isa") = "", py::arg("is_float") = false);
  module.def("set_num_threads", &set_default_threads, py::arg("threads"));
  module.def("get_num_threads", &default_threads);
}

}  // namespace pycompress
