#include "bindings/matrix.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace pycompress {

Type type_of(const py::array& x) {
  const py::dtype dtype = x.dtype();
  const char order = dtype.byteorder();
  if (order != '=' && order != '|') return Type::other;  // bytes that lie the other way round
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_UBYTE_:
      return Type::u8;
    case py::detail::npy_api::NPY_BYTE_:
      return Type::s8;
    case py::detail::npy_api::NPY_INT_:
      return Type::s32;
    case py::detail::npy_api::NPY_FLOAT_:
      return Type::f32;
    default:
      return dtype.equal(py::dtype::of<int32_t>()) ? Type::s32 : Type::other;
  }
}

const char* name_of(Type type) {
  constexpr const char* kNames[] = {"uint8", "int8", "int32", "float32", "other"};
  return kNames[static_cast<int>(type)];
}

std::string dtype_of(const py::array& x) { return py::str(x.dtype()).cast<std::string>(); }

std::string shape_of(const py::array& x) { return py::str(x.attr("shape")).cast<std::string>(); }

py::array need_array(const char* function, const char* name, py::handle value) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value);
  throw py::type_error(std::string(function) + ": " + name + " must be a NumPy array, found " +
                       Py_TYPE(value.ptr())->tp_name);
}

namespace {

int64_t size_of(Type type) { return type == Type::s32 || type == Type::f32 ? 4 : 1; }

}  // namespace

bool Matrix::overlaps(const Matrix& other) const {
  if (rows == 0 || columns == 0 || other.rows == 0 || other.columns == 0) return false;
  auto ends = [](const Matrix& x) {
    const char* first = x.data;
    const char* last = x.data + (x.rows - 1) * x.ld * size_of(x.type);
    if (last < first) std::swap(first, last);
    return std::make_pair(first, last + x.columns * size_of(x.type));
  };
  const auto mine = ends(*this);
  const auto its = ends(other);
  return mine.first < its.second && its.first < mine.second;
}

Matrix need_matrix(const char* function, const char* name, const py::array& x) {
  Matrix m;
  m.type = type_of(x);
  m.data = static_cast<char*>(const_cast<void*>(x.data()));
  const py::ssize_t rank = x.ndim();
  if (rank == 0)
    throw py::value_error(std::string(function) + ": " + name + " is a scalar, wanted [..., K]");
  m.columns = x.shape(rank - 1);
  for (py::ssize_t i = 0; i + 1 < rank; ++i) m.rows *= x.shape(i);
  m.ld = m.columns;
  if (x.size() == 0) return m;  // whose strides mean nothing
  const py::ssize_t item = x.itemsize();
  const bool inner = m.columns <= 1 || x.strides(rank - 1) == item;
  bool ok = inner && reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(item) == 0;
  if (ok && rank == 2) {
    ok = m.rows <= 1 || x.strides(0) % item == 0;
    m.ld = m.rows <= 1 ? m.columns : x.strides(0) / item;
  } else if (ok && rank > 2) {
    ok = (x.flags() & py::array::c_style) != 0;
  }
  if (!ok) {
    throw py::value_error(std::string(function) + ": " + name + " of shape " + shape_of(x) +
                          " is not contiguous along its last axis (or, with more than 2 "
                          "dimensions, not C-contiguous); "
                          "make it so with numpy.ascontiguousarray");
  }
  return m;
}

void need_depth(const char* function, const char* name, const py::array& x, const Matrix& m,
                int64_t k, int64_t n) {
  if (m.columns == k) return;
  throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(x) +
                        ", wanted [..., " + std::to_string(k) + "] for weights of " +
                        std::to_string(k) + " x " + std::to_string(n));
}

Matrix need_float_matrix(const char* function, const py::array& a, int64_t k, int64_t n) {
  const Matrix m = need_matrix(function, "a", a);
  if (m.type != Type::f32) {
    throw py::type_error(std::string(function) + ": a has dtype " + dtype_of(a) +
                         ", wanted float32");
  }
  need_depth(function, "a", a, m, k, n);
  return m;
}

namespace {

py::dtype numpy_dtype(Type type) {
  switch (type) {
    case Type::u8:
      return py::dtype::of<uint8_t>();
    case Type::s8:
      return py::dtype::of<int8_t>();
    case Type::s32:
      return py::dtype::of<int32_t>();
    default:
      return py::dtype::of<float>();
  }
}

}  // namespace

Result result_for(const char* function, const py::array& a, const Matrix& in, int64_t n, Type type,
                  py::handle out) {
  const auto shape = [&] {
    std::vector<py::ssize_t> wanted(a.shape(), a.shape() + a.ndim());
    wanted.back() = n;
    return wanted;
  };
  py::array array =
      out.is_none() ? py::array(numpy_dtype(type), shape()) : need_array(function, "out", out);
  if (!out.is_none()) {
    if (type_of(array) != type) {
      throw py::type_error(std::string(function) + ": out has dtype " + dtype_of(array) +
                           ", wanted " + name_of(type));
    }
    const py::ssize_t last = a.ndim() - 1;
    if (array.ndim() != a.ndim() || array.shape(last) != n ||
        !std::equal(a.shape(), a.shape() + last, array.shape())) {
      throw py::value_error(std::string(function) + ": out has shape " + shape_of(array) +
                            ", wanted " +
                            py::str(py::tuple(py::cast(shape()))).cast<std::string>());
    }
    if (!array.writeable()) throw py::value_error(std::string(function) + ": out is read-only");
  }
  const Matrix matrix = need_matrix(function, "out", array);
  if (!out.is_none() && matrix.overlaps(in)) {
    throw py::value_error(std::string(function) + ": out shares memory with an input");
  }
  if (matrix.rows > 1 && std::abs(matrix.ld) < n) {
    throw py::value_error(std::string(function) + ": the rows of out overlap each other");
  }
  return {std::move(array), matrix};
}

namespace {

std::pair<int32_t, int32_t> range_of(Type type) {
  return type == Type::s8 ? std::make_pair(-128, 127) : std::make_pair(0, 255);
}

}  // namespace

int32_t need_zero_point(const char* function, const char* name, int64_t zero, Type type) {
  const auto range = range_of(type);
  if (zero >= range.first && zero <= range.second) return static_cast<int32_t>(zero);
  throw py::value_error(std::string(function) + ": " + name + " is " + std::to_string(zero) +
                        ", outside of " + name_of(type));
}

ZeroPoints need_zero_points(const char* function, const char* name, py::handle value, Type type,
                            int64_t count, const char* of) {
  ZeroPoints zeros;
  if (value.is_none()) return zeros;
  if (PyLong_Check(value.ptr())) {
    const long long zero = PyLong_AsLongLong(value.ptr());
    if (zero == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    zeros.one = need_zero_point(function, name, zero, type);
    return zeros;
  }
  const auto any = py::array::ensure(value);
  if (!any || (any.dtype().kind() != 'i' && any.dtype().kind() != 'u')) {
    if (!any) PyErr_Clear();
    throw py::type_error(std::string(function) + ": " + name +
                         " must be an integer or an array of integers, found " +
                         (any ? dtype_of(any) : std::string(Py_TYPE(value.ptr())->tp_name)));
  }
  const auto values = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(any);
  if (values.size() != 1 && (values.ndim() != 1 || values.size() != count)) {
    throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(any) +
                          ", wanted () or (" + std::to_string(count) + ",): one for each " + of);
  }
  for (py::ssize_t i = 0; i < values.size(); ++i) {
    zeros.many.push_back(need_zero_point(function, name, values.data()[i], type));
  }
  if (values.size() == 1) {
    zeros.one = zeros.many[0];
    zeros.many.clear();
  }
  return zeros;
}

namespace {

[[noreturn]] void refuse(const char* function, const char* name, py::handle value,
                         const char* wanted) {
  PyErr_Clear();
  throw py::type_error(std::string(function) + ": " + name + " must be " + wanted + ", found " +
                       Py_TYPE(value.ptr())->tp_name);
}

}  // namespace

double need_number(const char* function, const char* name, py::handle value) {
  const double number = PyFloat_AsDouble(value.ptr());
  if (number == -1.0 && PyErr_Occurred() != nullptr) refuse(function, name, value, "a number");
  return number;
}

int64_t need_integer(const char* function, const char* name, py::handle value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  const long long number = index ? PyLong_AsLongLong(index.ptr()) : -1;
  if (number == -1 && PyErr_Occurred() != nullptr)
    refuse(function, name, value, "an integer of 64 bits");
  return number;
}

Type need_output_type(const char* function, py::handle y_dtype) {
  if (PyUnicode_Check(y_dtype.ptr())) {
    if (PyUnicode_CompareWithASCIIString(y_dtype.ptr(), "uint8") == 0) return Type::u8;
    if (PyUnicode_CompareWithASCIIString(y_dtype.ptr(), "int8") == 0) return Type::s8;
  }
  throw py::value_error(std::string(function) + ": y_dtype must be 'uint8' or 'int8', found " +
                        py::repr(y_dtype).cast<std::string>());
}

float need_scale(const char* function, const char* name, double scale) {
  const auto value = static_cast<float>(scale);
  if (value > 0.0f && std::isfinite(value)) return value;
  throw py::value_error(std::string(function) + ": " + name +
                        " must be positive and finite, found " + std::to_string(scale));
}

std::vector<float> need_floats(const char* function, const char* name, py::handle value,
                               int64_t count, const char* of) {
  std::vector<float> floats;
  if (value.is_none()) return floats;
  const auto any = py::array::ensure(value);
  if (!any ||
      (any.dtype().kind() != 'f' && any.dtype().kind() != 'i' && any.dtype().kind() != 'u')) {
    if (!any) PyErr_Clear();
    throw py::type_error(std::string(function) + ": " + name +
                         " must be a number or an array of numbers, found " +
                         (any ? dtype_of(any) : std::string(Py_TYPE(value.ptr())->tp_name)));
  }
  const auto values = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(any);
  if (values.size() != 1 && (values.ndim() != 1 || values.size() != count)) {
    throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(any) +
                          ", wanted () or (" + std::to_string(count) + ",): one for each " + of);
  }
  floats.assign(static_cast<size_t>(count), values.size() == 1 ? values.data()[0] : 0.0f);
  if (values.size() != 1) std::copy(values.data(), values.data() + count, floats.begin());
  return floats;
}

}  // namespace pycompress
