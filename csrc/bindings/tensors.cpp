#include "bindings/tensors.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace pycompress {

namespace py = pybind11;

std::optional<DType> dtype_of(const py::dtype& dtype) {
  if (dtype.byteorder() == '>') return std::nullopt;
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  if (kind == 'f')
    return size == 4   ? std::optional(DType::f32)
           : size == 8 ? std::optional(DType::f64)
                       : std::nullopt;
  if (kind == 'i') {
    if (size == 1) return DType::s8;
    if (size == 2) return DType::s16;
    if (size == 4) return DType::s32;
    if (size == 8) return DType::s64;
  }
  if (kind == 'u') {
    if (size == 1) return DType::u8;
    if (size == 2) return DType::u16;
    if (size == 4) return DType::u32;
    if (size == 8) return DType::u64;
  }
  if (kind == 'b') return DType::b8;
  return std::nullopt;
}

Tensor tensor_of(const py::array& array, const std::string& what) {
  const std::optional<DType> dtype = dtype_of(array.dtype());
  if (!dtype) {
    fail(what + " has dtype " + py::str(array.dtype()).cast<std::string>() +
         "; the engine takes float32, float64, integers of 8 to 64 bits and bool");
  }
  if ((array.flags() & py::array::c_style) == 0) fail(what + " must be C-contiguous");
  Tensor tensor;
  tensor.dtype = *dtype;
  if (array.ndim() > kMaxRank)
    fail(what + " has " + str(array.ndim()) + " dimensions, at most " + str(kMaxRank) +
         " are possible");
  for (py::ssize_t i = 0; i < array.ndim(); ++i) tensor.shape.push(array.shape(i));
  tensor.data = const_cast<void*>(array.data());
  return tensor;
}

py::dtype numpy_dtype(DType dtype) { return py::dtype(dtype_name(dtype)); }

AttrValue attr_of(const py::handle& value, const std::string& name) {
  if (py::isinstance<py::bool_>(value)) return static_cast<int64_t>(value.cast<bool>());
  if (py::isinstance<py::int_>(value)) return value.cast<int64_t>();
  if (py::isinstance<py::float_>(value)) return value.cast<double>();
  if (py::isinstance<py::str>(value)) return value.cast<std::string>();
  if (py::isinstance<py::bytes>(value)) return static_cast<std::string>(value.cast<py::bytes>());
  if (py::isinstance<py::array>(value)) {
    const auto array = py::array::ensure(value, py::array::c_style);
    const Tensor tensor = tensor_of(array, "attribute '" + name + "'");
    const auto* bytes = static_cast<const uint8_t*>(tensor.data);
    return AttrArray{tensor.dtype, tensor.shape,
                     std::vector<uint8_t>(bytes, bytes + tensor.bytes())};
  }
  // NumPy scalars.
  if (py::hasattr(value, "item") && py::hasattr(value, "dtype"))
    return attr_of(value.attr("item")(), name);
  if (py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
    const auto items = py::reinterpret_borrow<py::sequence>(value);
    std::vector<int64_t> integers;
    std::vector<double> numbers;
    std::string words;
    bool whole = true;
    bool text = false;
    for (const py::handle item : items) {
      const AttrValue one = attr_of(item, name);
      if (const auto* i = std::get_if<int64_t>(&one)) {
        integers.push_back(*i);
        numbers.push_back(static_cast<double>(*i));
      } else if (const auto* x = std::get_if<double>(&one)) {
        whole = false;
        numbers.push_back(*x);
      } else if (const auto* s = std::get_if<std::string>(&one)) {
        text = true;
        words += (words.empty() ? "" : ",") + *s;
      } else {
        fail("attribute '" + name + "' is a list of what the engine does not know");
      }
    }
    if (text) return words;
    if (whole) return integers;
    return numbers;
  }
  fail("attribute '" + name + "' has a type that the engine does not know: " +
       py::str(py::type::handle_of(value)).cast<std::string>());
}

Attrs attrs_of(const py::dict& attrs, const std::string& title) {
  Attrs converted;
  for (const auto& [key, value] : attrs) {
    const auto attr = key.cast<std::string>();
    try {
      converted.emplace(attr, attr_of(value, attr));
    } catch (const std::invalid_argument& e) {
      fail(title + ": " + e.what());
    }
  }
  return converted;
}

py::object view_of(const py::array& file, py::ssize_t begin, py::ssize_t end,
                   const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
  if (!py::isinstance<py::array_t<uint8_t>>(file) || file.ndim() != 1 ||
      (file.flags() & py::array::c_style) == 0 || begin < 0 || end < begin || end > file.size()) {
    throw py::value_error("bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                          " are not in the file");
  }
  const py::ssize_t room = end - begin;
  py::ssize_t bytes = dtype.itemsize();
  for (const py::ssize_t dim : shape) {
    if (dim < 0) return py::none();
    if (dim == 0) bytes = 0;
  }
  for (const py::ssize_t dim : shape) {
    if (bytes == 0) break;
    if (bytes > room / dim) return py::none();
    bytes *= dim;
  }
  if (bytes != room) return py::none();
  const auto* data = static_cast<const uint8_t*>(file.data()) + begin;
  const auto step = static_cast<uintptr_t>(std::max<py::ssize_t>(dtype.alignment(), 1));
  if (reinterpret_cast<uintptr_t>(data) % step == 0) {
    return py::array(dtype, shape, {}, data, file);
  }
  // Protobuf aligns nothing, and kernels read through typed pointers.
  py::array made(dtype, shape);
  std::memcpy(made.mutable_data(), data, static_cast<size_t>(room));
  return std::move(made);
}

py::object shaped(PyObject* numbers, const py::dtype& type, const std::vector<py::ssize_t>& dims) {
  if (numbers == nullptr || !py::isinstance<py::array>(numbers)) return py::none();
  auto array = py::reinterpret_borrow<py::array>(numbers);
  if (array.dtype().ptr() != type.ptr() && !array.dtype().equal(type)) return py::none();
  py::ssize_t count = 1;
  for (const py::ssize_t dim : dims) {
    if (dim < 0 || (dim > 0 && count > array.size() / dim)) return py::none();
    count *= dim;
  }
  if (count != array.size()) return py::none();
  return array.reshape(dims);
}

}  // namespace pycompress
