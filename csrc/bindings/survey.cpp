// What a graph is made of, at one walk: most passes have nothing to do in most graphs.
#include <pybind11/numpy.h>

#include <algorithm>
#include <vector>

#include "bindings/families.h"
#include "bindings/graph.h"

namespace pycompress {
namespace {

namespace py = pybind11;

class GraphSurvey : public GraphTypes {
 public:
  using GraphTypes::GraphTypes;

  // Of these nodes, their bodies excepted: the set of operators; the element types (or None) of
  // what they make and of the constants that they read, each once; whether every result has a type
  // and every constant that of its array; whether every size of a result is a number, or a name in
  // which `made_up` does not stand; whether a constant is no array; whether one is of a type that
  // NumPy itself lacks; whether a node has bodies.
  py::tuple look(const py::list& nodes, const py::str& made_up) const {
    Found found;
    for (PyObject* node : span(nodes.ptr())) {
      if (PySet_Add(found.ops.ptr(), op.get(need(node, node_type))) != 0) {
        throw py::error_already_set();
      }
      found.nested = found.nested || nested.get(node) == Py_True;
      for (PyObject* value : span(outputs.get(node))) {
        PyObject* type = dtype.get(need(value, value_type));
        found.typed = found.typed && type != Py_None;
        found.note(type);
        found.sized = found.sized && is_sized(shape.get(value), made_up);
      }
      for (PyObject* value : span(inputs.get(node))) {
        if (value != Py_None) look_at_constant(need(value, value_type), found);
      }
    }
    return py::make_tuple(found.ops, found.dtypes, found.typed, found.sized, found.integers,
                          found.foreign, found.nested);
  }

 private:
  struct Found {
    py::set ops;
    py::list dtypes;
    std::vector<PyObject*> seen;
    bool typed = true, sized = true, integers = false, foreign = false, nested = false;

    void note(PyObject* type) {
      if (!seen.empty() && seen.back() == type) return;
      if (std::find(seen.begin(), seen.end(), type) != seen.end()) return;
      seen.push_back(type);
      dtypes.append(py::handle(type));
    }
  };

  static bool is_sized(PyObject* sizes, const py::str& made_up) {
    if (sizes == Py_None) return false;
    for (PyObject* dim : span(sizes)) {
      if (PyLong_Check(dim)) continue;
      if (!PyUnicode_Check(dim) || PyUnicode_Contains(dim, made_up.ptr()) != 0) return false;
    }
    return true;
  }

  void look_at_constant(PyObject* value, Found& found) const {
    PyObject* content = constant.get(value);
    if (content == Py_None) return;
    if (!py::isinstance<py::array>(content)) {
      found.integers = true;
      found.typed = false;
      return;
    }
    const py::dtype type = py::reinterpret_borrow<py::array>(content).dtype();
    found.note(type.ptr());
    found.foreign = found.foreign || type.num() >= kOfOthers;
    if (dtype.get(value) == type.ptr()) return;
    const int same = PyObject_RichCompareBool(dtype.get(value), type.ptr(), Py_EQ);
    if (same < 0) throw py::error_already_set();
    found.typed = found.typed && same == 1;
  }

  static constexpr int kOfOthers = 256;  // NPY_USERDEF
};

}  // namespace

void bind_survey(py::module_& module) {
  py::class_<GraphSurvey>(module, "GraphSurvey",
                          "What nodes, instances of the first of these two classes, are and hold.")
      .def(py::init<const py::type&, const py::type&>(), py::arg("node"), py::arg("value"))
      .def("look", &GraphSurvey::look, py::arg("nodes"), py::arg("made_up"));
}

}  // namespace pycompress
