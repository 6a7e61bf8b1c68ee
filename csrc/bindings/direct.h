// Functions that Python calls without pybind11's dispatch, which takes longer than a small product:
// a fixed number of positional arguments, as they come.
#pragma once
#include <pybind11/pybind11.h>

namespace pycompress {

using DirectBody = pybind11::object (*)(PyObject* const* args);

template <Py_ssize_t kCount, DirectBody kBody>
PyObject* direct_call(PyObject* /*module*/, PyObject* const* args, Py_ssize_t count) {
  if (count != kCount) {
    PyErr_Format(PyExc_TypeError, "wanted %zd positional arguments, found %zd", kCount, count);
    return nullptr;
  }
  try {
    return kBody(args).release().ptr();
  } catch (...) {
    pybind11::detail::try_translate_exceptions();
    return nullptr;
  }
}

// `doc` begins with the signature as pybind11 would write it: the stub is made from that.
template <Py_ssize_t kCount, DirectBody kBody>
PyMethodDef direct(const char* name, const char* doc) {
  auto* call = reinterpret_cast<void (*)()>(&direct_call<kCount, kBody>);
  return {name, reinterpret_cast<PyCFunction>(call), METH_FASTCALL, doc};
}

// Python keeps pointers to the definitions: they are static, and end with an empty one.
inline void add_direct(pybind11::module_& module, PyMethodDef* definitions) {
  if (PyModule_AddFunctions(module.ptr(), definitions) != 0) throw pybind11::error_already_set();
}

}  // namespace pycompress
