// The nodes and values of pycompress.graph.ir, read without asking Python for each attribute.
#pragma once
#include <pybind11/pybind11.h>

#include <cstddef>
#include <vector>

namespace pycompress {

// Where an attribute of a class with __slots__ lies in its instances.
class SlotOf {
 public:
  SlotOf(const pybind11::type& owner, const char* name);

  // Borrowed; null where it was never set.
  PyObject* get(PyObject* object) const { return *at(object); }
  // Of an instance that was just allocated, in which nothing is yet. Takes over the reference.
  void init(PyObject* object, PyObject* owned) const { *at(object) = owned; }
  void set(PyObject* object, PyObject* borrowed) const;

 private:
  PyObject** at(PyObject* object) const {
    return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset_);
  }
  std::ptrdiff_t offset_;
};

// Borrowed from a dict; null where it has no such key.
PyObject* look_up(const pybind11::dict& where, PyObject* key);

// The two classes, and where their attributes lie.
class GraphTypes {
 public:
  GraphTypes(const pybind11::type& node, const pybind11::type& value);

  // Calls found(value) for each value that a node reads, with what its bodies capture. Values are
  // borrowed from the graph.
  template <typename Found>
  void each_read(PyObject* node, const Found& found) const {
    for (PyObject* value : span(inputs.get(need(node, node_type)))) {
      if (value != Py_None) found(need(value, value_type));
    }
    if (nested.get(node) == Py_True) {
      for (const pybind11::handle value : captured(node)) found(need(value.ptr(), value_type));
    }
  }
  // What a list of a node, or any other list, holds; throws TypeError when it is none.
  static std::vector<PyObject*> items(PyObject* list);
  std::vector<PyObject*> items(PyObject* node, const SlotOf& slot) const {
    return items(slot.get(need(node, node_type)));
  }
  // The same, where nothing changes the list meanwhile.
  struct Span {
    PyObject** first;
    PyObject** last;
    PyObject** begin() const { return first; }
    PyObject** end() const { return last; }
  };
  static Span span(PyObject* list);
  // The object itself; throws TypeError unless it is of the type.
  static PyObject* need(PyObject* object, const pybind11::type& type);

  pybind11::type node_type, value_type;
  SlotOf op, inputs, outputs, attrs, domain, name, metadata, nested;
  SlotOf value_name, dtype, shape, constant, producer;

 private:
  static pybind11::list captured(PyObject* node);
};

}  // namespace pycompress
