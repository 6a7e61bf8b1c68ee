// What a binding checks before a kernel may trust an array. Messages name the argument, what was
// found and what was wanted.
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "threads/pool.h"

namespace pycompress {

using Extents = std::vector<pybind11::ssize_t>;

inline std::string text(pybind11::handle value) { return pybind11::str(value).cast<std::string>(); }
inline std::string text(const Extents& shape) {
  return text(pybind11::tuple(pybind11::cast(shape)));
}
inline std::string dtype_text(const pybind11::array& x) { return text(x.dtype()); }
inline std::string shape_text(const pybind11::array& x) { return text(x.attr("shape")); }
inline Extents shape_vector(const pybind11::array& x) {
  return Extents(x.shape(), x.shape() + x.ndim());
}

template <typename T>
bool has_dtype(const pybind11::array& x) {
  return pybind11::isinstance<pybind11::array_t<T>>(x);
}

inline void need_contiguous(const std::string& name, const pybind11::array& x) {
  const bool aligned = (x.flags() & pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  if ((x.flags() & pybind11::array::c_style) != 0 && aligned) return;
  throw pybind11::value_error(name + " of shape " + shape_text(x) + " and strides " +
                              text(x.attr("strides")) +
                              " is not C-contiguous and aligned; make it so with "
                              "numpy.ascontiguousarray");
}

inline pybind11::array need_array(const std::string& name, pybind11::handle value) {
  if (pybind11::isinstance<pybind11::array>(value)) {
    return pybind11::reinterpret_borrow<pybind11::array>(value);
  }
  throw pybind11::type_error(name + " must be a NumPy array, found " +
                             Py_TYPE(value.ptr())->tp_name);
}

// The elements of a C-contiguous array of this type. Nothing is cast or copied.
template <typename T>
const T* need(const std::string& name, const pybind11::array& x) {
  if (!has_dtype<T>(x)) {
    throw pybind11::type_error(name + " has dtype " + dtype_text(x) + ", wanted " +
                               text(pybind11::dtype::of<T>()));
  }
  need_contiguous(name, x);
  return static_cast<const T*>(x.data());
}

template <typename T>
const T* need(const std::string& name, const pybind11::array& x, const Extents& shape) {
  const T* data = need<T>(name, x);
  if (shape_vector(x) != shape) {
    throw pybind11::value_error(name + " has shape " + shape_text(x) + ", wanted " + text(shape));
  }
  return data;
}

// A fresh array for a result, or `out` when it is one that fits.
template <typename T>
pybind11::array need_out(const std::string& name, pybind11::handle out, const Extents& shape) {
  if (out.is_none()) return pybind11::array(pybind11::dtype::of<T>(), shape);
  pybind11::array given = need_array(name, out);
  need<T>(name, given, shape);
  if (!given.writeable()) throw pybind11::value_error(name + " is read-only");
  return given;
}

// Refuses a result that shares memory with an operand: it would be read after it was overwritten.
// `in_place`: the very same elements are welcome.
inline void need_apart(const std::string& name, const pybind11::array& out,
                       const std::string& other, const pybind11::array& x, bool in_place) {
  const char* a = static_cast<const char*>(out.data());
  const char* b = static_cast<const char*>(x.data());
  if (in_place && a == b && out.nbytes() == x.nbytes()) return;
  if (a < b + x.nbytes() && b < a + out.nbytes()) {
    throw pybind11::value_error(name + " shares memory with " + other);
  }
}

// Runs body(pool): with the pool of the NumPy face and without the GIL when the work is worth it.
template <typename Body>
void run_body(int64_t elements, const Body& body) {
  if (elements < 16384) {  // letting the GIL go and taking it again costs as much
    body(nullptr);
    return;
  }
  const std::shared_ptr<ThreadPool> pool = default_pool();
  const pybind11::gil_scoped_release nogil;
  body(pool.get());
}

}  // namespace pycompress
