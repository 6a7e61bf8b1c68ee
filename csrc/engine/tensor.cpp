#include "engine/tensor.h"

#include <stdexcept>

namespace pycompress {

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::s64:
    case DType::u64:
      return 8;
    case DType::f32:
    case DType::s32:
    case DType::u32:
      return 4;
    case DType::u16:
    case DType::s16:
      return 2;
    case DType::u8:
    case DType::s8:
    case DType::b8:
      return 1;
  }
  return 1;
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::u8:
      return "uint8";
    case DType::s8:
      return "int8";
    case DType::s32:
      return "int32";
    case DType::s64:
      return "int64";
    case DType::b8:
      return "bool";
    case DType::u16:
      return "uint16";
    case DType::s16:
      return "int16";
    case DType::u32:
      return "uint32";
    case DType::u64:
      return "uint64";
  }
  return "?";
}

DType dtype_of_onnx(int64_t code) {
  switch (code) {
    case 1:
      return DType::f32;
    case 2:
      return DType::u8;
    case 3:
      return DType::s8;
    case 4:
      return DType::u16;
    case 5:
      return DType::s16;
    case 6:
      return DType::s32;
    case 7:
      return DType::s64;
    case 9:
      return DType::b8;
    case 11:
      return DType::f64;
    case 12:
      return DType::u32;
    case 13:
      return DType::u64;
    default:
      fail("the engine does not have the element type " + str(code));
  }
}

bool is_integer8(DType dtype) { return dtype == DType::u8 || dtype == DType::s8; }

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (int64_t dim : dims) push(dim);
}

Shape::Shape(const int64_t* dims, int64_t rank) {
  for (int64_t i = 0; i < rank; ++i) push(dims[i]);
}

void Shape::push(int64_t dim) {
  if (rank_ == kMaxRank)
    fail("a tensor has more than " + pycompress::str(kMaxRank) + " dimensions");
  dims_[rank_++] = dim;
}

int64_t Shape::product(int first, int last) const {
  int64_t n = 1;
  for (int i = first; i < last; ++i) n *= dims_[i];
  return n;
}

void Shape::check() const {
  bool empty = false;
  for (int64_t dim : *this) {
    if (dim < 0) fail("shape " + str() + " has a negative dimension");
    empty = empty || dim == 0;
  }
  // An empty tensor is held to the same limit, so that no partial product can overflow.
  int64_t n = 1;
  for (int64_t dim : *this) {
    if (dim != 0 && n > kMaxElements / dim) {
      fail("shape " + str() + " has more than 2^40 elements" + (empty ? " besides its 0" : ""));
    }
    n *= dim == 0 ? 1 : dim;
  }
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; ++i) {
    if (dims_[i] != other.dims_[i]) return false;
  }
  return true;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims_[i]);
  return text + "]";
}

int normalize_axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    fail("axis " + str(axis) + " is out of range for " + str(rank) + " dimensions");
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

void row_major_strides(const Shape& shape, int64_t* strides) {
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
}

void fail(const std::string& message) { throw std::invalid_argument(message); }

std::string str(int64_t value) { return std::to_string(value); }

}  // namespace pycompress
