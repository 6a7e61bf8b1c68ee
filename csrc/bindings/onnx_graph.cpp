// Messages of an ONNX file -> nodes and values: what is as it nearly always is. Whatever is not
// (an attribute that holds a tensor, a name that nothing defines) is left to the reader in Python,
// which knows what to say.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bindings/families.h"
#include "bindings/graph.h"
#include "bindings/onnx_fields.h"
#include "bindings/tensors.h"

namespace pycompress {
namespace {

namespace py = pybind11;

constexpr int64_t kLargestDim = int64_t{1} << 40;

PyObject* field(PyObject* message, py::ssize_t at) {
  if (!PyTuple_Check(message) || PyTuple_GET_SIZE(message) <= at) {
    throw py::type_error("a message is wanted, found something else");
  }
  return PyTuple_GET_ITEM(message, at);
}

bool is_empty(PyObject* text) {
  return text == Py_None || (PyUnicode_Check(text) && PyUnicode_GET_LENGTH(text) == 0);
}

bool is_text(PyObject* object, const char* text) {
  return PyUnicode_Check(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

class GraphReader : public GraphTypes {
 public:
  // `dtypes`: NumPy's types by the numbers of onnx.proto, of tensors whose bytes are their
  // elements. `limits`: by operator, how many inputs and outputs it has and which attributes it
  // must have; the builder adds those that it meets.
  GraphReader(const py::type& node, const py::type& value, py::dict dtypes, py::dict limits)
      : GraphTypes(node, value), dtypes_(std::move(dtypes)), limits_(std::move(limits)) {}

  // Takes in tensors as constants of the graph: `local` and `taken` are added to, and
  // builder.initializer(local, message) does the others. `file` holds their bytes.
  void take(const py::object& tensors, const py::array& file, const py::dict& local,
            const py::set& taken, const py::object& builder) const {
    for (PyObject* tensor : items(tensors.ptr())) {
      PyObject* title = field(tensor, fields::kTensorName);
      if (!plain_constant(title, tensor, file, local, taken)) {
        builder.attr("initializer")(local, py::handle(tensor));
      }
    }
  }

  // The nodes of a graph. `types` are what the file says of values, by name; `local` the values
  // of the graph, which is added to; `outer` those around it; `taken` all names; `builder` takes
  // what is left to Python: constant(message), typed(local, name, types), unused(), and
  // node(message, outputs, scope).
  py::list wire(const py::object& messages, const py::array& file, const py::dict& types,
                const py::dict& local, const py::dict& outer, const py::set& taken,
                const py::object& builder) const {
    const std::vector<PyObject*> all = items(messages.ptr());
    std::vector<std::pair<PyObject*, py::list>> wired;
    wired.reserve(all.size());
    for (PyObject* message : all) {
      if (is_text(field(message, fields::kOp), "Constant") &&
          standard(field(message, fields::kDomain))) {
        if (!constant_node(message, file, local, taken)) {
          builder.attr("constant")(py::handle(message), local);
        }
        continue;
      }
      py::list outputs;
      for (PyObject* name : items(field(message, fields::kOutputs))) {
        outputs.append(output(name, types, local, taken, builder));
      }
      wired.emplace_back(message, std::move(outputs));
    }
    py::object scope = py::none();  // only where Python has to look
    py::list nodes;
    for (const auto& [message, outputs] : wired) {
      py::object node = plain_node(message, outputs, local, outer);
      if (!node) {
        if (scope.is_none()) {
          scope = outer.attr("copy")();
          scope.attr("update")(local);
        }
        node = builder.attr("node")(py::handle(message), outputs, scope);
      }
      nodes.append(node);
    }
    return nodes;
  }

 private:
  // A new value of no producer; what is null is None.
  py::object make_value(PyObject* name, PyObject* type, PyObject* dims, PyObject* content) const {
    auto* cls = reinterpret_cast<PyTypeObject*>(value_type.ptr());
    auto made = py::reinterpret_steal<py::object>(cls->tp_alloc(cls, 0));
    if (!made) throw py::error_already_set();
    const auto put = [&](const SlotOf& slot, PyObject* given) {
      PyObject* said = given == nullptr ? Py_None : given;
      Py_INCREF(said);
      slot.init(made.ptr(), said);
    };
    put(value_name, name);
    put(dtype, type);
    put(shape, dims);
    put(constant, content);
    put(producer, nullptr);
    return made;
  }

  // A new node without bodies; its outputs know it as their producer.
  py::object make_node(PyObject* operation, const py::list& reads, const py::list& makes,
                       const py::dict& said, PyObject* where, PyObject* title,
                       const py::dict& about) const {
    auto* cls = reinterpret_cast<PyTypeObject*>(node_type.ptr());
    auto made = py::reinterpret_steal<py::object>(cls->tp_alloc(cls, 0));
    if (!made) throw py::error_already_set();
    const auto put = [&](const SlotOf& slot, PyObject* given) {
      Py_INCREF(given);
      slot.init(made.ptr(), given);
    };
    put(op, operation);
    put(inputs, reads.ptr());
    put(outputs, makes.ptr());
    put(attrs, said.ptr());
    put(domain, where);
    put(name, title);
    put(metadata, about.ptr());
    put(nested, Py_False);
    for (PyObject* value : items(makes.ptr())) producer.set(need(value, value_type), made.ptr());
    return made;
  }

  // A node that is but a constant; false where Python has to look.
  bool constant_node(PyObject* message, const py::array& file, const py::dict& local,
                     const py::set& taken) const {
    const std::vector<PyObject*> said = items(field(message, fields::kAttributes));
    const std::vector<PyObject*> names = items(field(message, fields::kOutputs));
    if (said.size() != 1 || names.size() != 1) return false;
    PyObject* type = field(said[0], fields::kType);
    PyObject* tensor = field(said[0], fields::kT);
    if (type == Py_None || PyLong_AsLong(type) != fields::kTensor || tensor == Py_None)
      return false;
    return is_text(field(said[0], fields::kName), "value") &&
           plain_constant(names[0], tensor, file, local, taken);
  }

  bool plain_constant(PyObject* title, PyObject* tensor, const py::array& file,
                      const py::dict& local, const py::set& taken) const {
    if (is_empty(title) || !is_new(title, local, taken)) return false;
    PyObject* code = field(tensor, fields::kDataType);
    PyObject* span = field(tensor, fields::kRawData);
    PyObject* location = field(tensor, fields::kDataLocation);
    const bool here = location == Py_None || PyLong_AsLong(location) == 0;
    PyObject* type = code == Py_None ? nullptr : look_up(dtypes_, code);
    if (type == nullptr || !here) return false;
    std::vector<py::ssize_t> dims;
    for (PyObject* dim : items(field(tensor, fields::kDims))) {
      dims.push_back(PyLong_AsSsize_t(dim));
    }
    const auto wanted = py::reinterpret_borrow<py::dtype>(type);
    const py::object array = span == Py_None
                                 ? shaped(numbers(tensor), wanted, dims)
                                 : view_of(file, PyLong_AsSsize_t(field(span, 0)),
                                           PyLong_AsSsize_t(field(span, 1)), wanted, dims);
    if (array.is_none()) return false;
    keep(title, make_value(title, type, array.attr("shape").ptr(), array.ptr()), local, taken);
    return true;
  }

  // The one field of numbers that a tensor has; null where it has none, or several.
  static PyObject* numbers(PyObject* tensor) {
    PyObject* found = nullptr;
    for (const auto at : {fields::kFloatData, fields::kInt32Data, fields::kInt64Data,
                          fields::kDoubleData, fields::kUint64Data}) {
      PyObject* data = field(tensor, at);
      if (data == Py_None) continue;
      if (found != nullptr) return nullptr;
      found = data;
    }
    return found;
  }

  static bool is_new(PyObject* title, const py::dict& local, const py::set& taken) {
    return look_up(local, title) == nullptr && PySet_Contains(taken.ptr(), title) == 0;
  }

  static void keep(PyObject* title, const py::object& value, const py::dict& local,
                   const py::set& taken) {
    if (PySet_Add(taken.ptr(), title) != 0 ||
        PyDict_SetItem(local.ptr(), title, value.ptr()) != 0) {
      throw py::error_already_set();
    }
  }

  static bool standard(PyObject* domain) { return is_empty(domain) || is_text(domain, "ai.onnx"); }

  py::object output(PyObject* name, const py::dict& types, const py::dict& local,
                    const py::set& taken, const py::object& builder) const {
    if (is_empty(name)) return builder.attr("unused")();
    if (is_new(name, local, taken)) {
      PyObject* info = look_up(types, name);
      py::object dtype = py::none();
      py::object shape = py::none();
      if (info == nullptr || said(info, dtype, shape)) {
        py::object made = make_value(name, dtype.ptr(), shape.ptr(), nullptr);
        keep(name, made, local, taken);
        return made;
      }
    }
    return builder.attr("typed")(local, py::handle(name), types);
  }

  // What a file says of a value's type and shape; false where there is more to say about it.
  bool said(PyObject* info, py::object& dtype, py::object& shape) const {
    PyObject* type = field(info, 1);
    PyObject* tensor = type == Py_None ? Py_None : field(type, 0);
    if (tensor == Py_None) return true;
    PyObject* code = field(tensor, 0);
    PyObject* known = code == Py_None ? nullptr : look_up(dtypes_, code);
    if (known == nullptr) return false;
    dtype = py::reinterpret_borrow<py::object>(known);
    PyObject* sizes = field(tensor, 1);
    if (sizes == Py_None) return true;
    const std::vector<PyObject*> dims = items(field(sizes, 0));
    py::tuple made(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) {
      PyObject* size = field(dims[i], 0);
      PyObject* symbol = field(dims[i], 1);
      PyObject* dim = size;
      if (size == Py_None) {  // exporters write "?" for "any"
        dim = symbol;
        if (!is_empty(symbol)) {
          const Py_UCS4 first = PyUnicode_ReadChar(symbol, 0);
          if (first == '?' || first == '-') dim = Py_None;
        } else {
          dim = Py_None;
        }
      } else {
        const int64_t value = PyLong_AsLongLong(size);
        if (value < 0 || value > kLargestDim) return false;
      }
      Py_INCREF(dim);
      PyTuple_SET_ITEM(made.ptr(), static_cast<py::ssize_t>(i), dim);
    }
    shape = std::move(made);
    return true;
  }

  // A node; null where Python has to look.
  py::object plain_node(PyObject* message, const py::list& outputs, const py::dict& local,
                        const py::dict& outer) const {
    PyObject* operation = field(message, fields::kOp);
    PyObject* where = field(message, fields::kDomain);
    if (operation == Py_None) return {};
    const bool known = standard(where);
    const std::vector<PyObject*> names = items(field(message, fields::kInputs));
    py::list reads(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      PyObject* value = is_empty(names[i]) ? Py_None : look_up(local, names[i]);
      if (value == nullptr) value = look_up(outer, names[i]);
      if (value == nullptr) return {};
      Py_INCREF(value);
      PyList_SET_ITEM(reads.ptr(), static_cast<py::ssize_t>(i), value);
    }
    py::dict said;
    for (PyObject* attribute : items(field(message, fields::kAttributes))) {
      const py::object value = plain(attribute);
      PyObject* title = field(attribute, fields::kName);
      if (!value || title == Py_None) return {};
      if (PyDict_SetItem(said.ptr(), title, value.ptr()) != 0) throw py::error_already_set();
    }
    if (known && !fits(operation, names.size(), static_cast<size_t>(outputs.size()), said)) {
      return {};
    }
    py::dict about;
    for (PyObject* entry : items(field(message, fields::kMetadata))) {
      const py::object key = text(field(entry, 0));
      const py::object value = text(field(entry, 1));
      if (PyDict_SetItem(about.ptr(), key.ptr(), value.ptr()) != 0) throw py::error_already_set();
    }
    const py::object title = text(field(message, fields::kNodeName));
    return make_node(operation, reads, outputs, said, known ? none_.ptr() : where, title.ptr(),
                     about);
  }

  py::object text(PyObject* given) const {
    return given == Py_None ? none_ : py::reinterpret_borrow<py::object>(given);
  }

  bool fits(PyObject* operation, size_t inputs, size_t outputs, const py::dict& said) const {
    PyObject* limits = look_up(limits_, operation);
    if (limits == nullptr) return false;
    const auto number = [&](py::ssize_t at) {
      return static_cast<size_t>(PyLong_AsLongLong(field(limits, at)));
    };
    if (inputs < number(0) || inputs > number(1) || outputs < 1 || outputs > number(2)) {
      return false;
    }
    PyObject* needed = field(limits, 3);
    if (PySet_Size(needed) == 0) return true;
    for (const py::handle name : py::reinterpret_borrow<py::object>(needed)) {
      if (look_up(said, name.ptr()) == nullptr) return false;
    }
    return true;
  }

  // The value of an attribute that holds no tensor and no graph; null where it does.
  static py::object plain(PyObject* attribute) {
    PyObject* type = field(attribute, fields::kType);
    if (type == Py_None) return {};
    const auto single = [&](fields::AttributeField at) {
      return py::reinterpret_borrow<py::object>(field(attribute, at));
    };
    const auto list = [&](fields::AttributeField at) -> py::object {
      py::object found = single(at);
      if (PyList_Check(found.ptr())) return found;
      return py::list();  // an absent one
    };
    switch (PyLong_AsLong(type)) {
      case fields::kFloat: {
        py::object value = single(fields::kF);
        return value.is_none() ? py::float_(0.0) : value;
      }
      case fields::kInt: {
        py::object value = single(fields::kI);
        return value.is_none() ? py::int_(0) : value;
      }
      case fields::kString: {
        py::object value = single(fields::kS);
        return value.is_none() ? py::str("") : value;
      }
      case fields::kFloatList:
        return list(fields::kFloats);
      case fields::kIntList:
        return list(fields::kInts);
      case fields::kTexts:
        return list(fields::kStrings);
      default:
        return {};
    }
  }

  py::dict dtypes_, limits_;
  py::object none_ = py::str("");
};

}  // namespace

void bind_onnx_graph(py::module_& module) {
  py::class_<GraphReader>(module, "GraphReader",
                          "Makes nodes and values of the messages of a file.")
      .def(py::init<const py::type&, const py::type&, py::dict, py::dict>(), py::arg("node"),
           py::arg("value"), py::arg("dtypes"), py::arg("limits"))
      .def("take", &GraphReader::take, py::arg("tensors"), py::arg("file"), py::arg("local"),
           py::arg("taken"), py::arg("builder"))
      .def("wire", &GraphReader::wire, py::arg("messages"), py::arg("file"), py::arg("types"),
           py::arg("local"), py::arg("outer"), py::arg("taken"), py::arg("builder"));
  module.def("view_of", &view_of, py::arg("file"), py::arg("begin"), py::arg("end"),
             py::arg("dtype"), py::arg("shape"),
             "Bytes of a file as an array; None when their number is not that of the shape.");
}

}  // namespace pycompress
