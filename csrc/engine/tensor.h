// Typed tensors as the engine sees them: an element type, a small inline shape and a pointer.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pycompress {

enum class DType : uint8_t { f32, f64, u8, s8, s32, s64, b8, u16, s16, u32, u64 };

size_t dtype_size(DType dtype);
DType dtype_of_onnx(int64_t code);    // TensorProto.DataType
const char* dtype_name(DType dtype);  // as NumPy spells it
bool is_integer8(DType dtype);        // u8 or s8

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::s8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::s32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::s64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::b8;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct DTypeOf<int16_t> {
  static constexpr DType value = DType::s16;
};
template <>
struct DTypeOf<uint32_t> {
  static constexpr DType value = DType::u32;
};
template <>
struct DTypeOf<uint64_t> {
  static constexpr DType value = DType::u64;
};

constexpr int kMaxRank = 8;
constexpr int64_t kMaxElements = int64_t{1} << 40;

// Row-major dimensions, at most kMaxRank of them. push() and the constructors throw
// std::invalid_argument beyond that.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  Shape(const int64_t* dims, int64_t rank);
  explicit Shape(const std::vector<int64_t>& dims)
      : Shape(dims.data(), static_cast<int64_t>(dims.size())) {}

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + rank_; }
  void push(int64_t dim);

  // Product of the dimensions from `first` up to, not including, `last`. Only for a checked shape.
  int64_t product(int first, int last) const;
  int64_t elements() const { return product(0, rank_); }

  // Throws std::invalid_argument on a negative dimension or more than kMaxElements elements.
  void check() const;

  bool operator==(const Shape& other) const;
  bool operator!=(const Shape& other) const { return !(*this == other); }
  std::string str() const;  // "[2, 3]"

 private:
  int rank_ = 0;
  int64_t dims_[kMaxRank] = {};
};

// Turns an axis that may count from the end into 0..rank-1; throws std::invalid_argument that names
// it.
int normalize_axis(int64_t axis, int64_t rank);

// Strides in elements of a contiguous tensor.
void row_major_strides(const Shape& shape, int64_t* strides);

struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  void* data = nullptr;
  bool slack = false;  // 64 bytes behind the last element may be read

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t elements() const { return shape.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_size(dtype); }
};

// Throws std::invalid_argument. The program puts the operator's and the node's name in front.
[[noreturn]] void fail(const std::string& message);
std::string str(int64_t value);

}  // namespace pycompress
