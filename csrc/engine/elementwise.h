// Element-wise loops for the types that have no vector kernels.
#pragma once
#include <utility>

#include "engine/strided.h"
#include "engine/tensor.h"

namespace pycompress {

// y[i] = f(a[i * a_step], b[i * b_step]), steps 0 or 1, in forms that compilers vectorise.
template <typename T, typename Y, typename F>
void map_pairs(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n, Y* y,
               const F& f) {
  if (a_step != 0 && b_step != 0) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step != 0) {
    const T right = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], right);
  } else {
    const T left = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = f(left, b[i * b_step]);
  }
}

// Calls f with a value of the element type's C++ type: dispatch(dtype, [&](auto zero) { using T =
// decltype(zero); ... }).
template <typename F>
void dispatch(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::u8:
      return f(uint8_t{});
    case DType::s8:
      return f(int8_t{});
    case DType::s32:
      return f(int32_t{});
    case DType::s64:
      return f(int64_t{});
    case DType::b8:
      return f(bool{});
    case DType::u16:
      return f(uint16_t{});
    case DType::s16:
      return f(int16_t{});
    case DType::u32:
      return f(uint32_t{});
    case DType::u64:
      return f(uint64_t{});
  }
}

struct BroadcastState final : OpState {
  explicit BroadcastState(const StridedLoop<3>& loop) : loop(loop) {}
  StridedLoop<3> loop;  // a, b, y
};

// The loop over two broadcast inputs and a contiguous result.
inline StridedLoop<3> broadcast_loop(const Shape& a, const Shape& b, const Shape& y) {
  int64_t strides[3][kMaxRank];
  broadcast_strides(a, y, strides[0]);
  broadcast_strides(b, y, strides[1]);
  row_major_strides(y, strides[2]);
  return StridedLoop<3>(y, {strides[0], strides[1], strides[2]});
}

}  // namespace pycompress
