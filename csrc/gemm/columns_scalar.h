// Vectors of 4 columns for gemm/epilogue.inc.h in plain C++: lanes are worked on one by one, or as
// the compiler likes. An edge goes through memory.
#pragma once
#include "gemm/bytes.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kLanes = 4;
using F32 = float __attribute__((vector_size(16)));
using I32 = int32_t __attribute__((vector_size(16)));

// The second operand where one is NaN.
inline F32 min(F32 a, F32 b) { return a < b ? a : b; }
inline F32 max(F32 a, F32 b) { return a > b ? a : b; }
inline I32 round_even(F32 a) {  // half to even in the default rounding mode
  I32 q;
  for (int i = 0; i < kLanes; ++i) q[i] = static_cast<int32_t>(__builtin_lrintf(a[i]));
  return q;
}

template <int V>
class Columns {
 public:
  explicit Columns(int32_t count) : count_(count) {}

  F32 load(int j, const float* p) const { return load_lanes<F32>(j, p); }
  I32 load(int j, const int32_t* p) const { return load_lanes<I32>(j, p); }
  I32 load(int j, const uint8_t* p) const { return load_lanes<I32>(j, p); }
  I32 load(int j, const int8_t* p) const { return load_lanes<I32>(j, p); }
  void store(int j, float* p, F32 v) const { store_lanes(j, p, v); }
  void store(int j, int32_t* p, I32 v) const { store_lanes(j, p, v); }

  // Saturates the row's int32, plus the zero point if kShift, and keeps it within its bounds if
  // kBound.
  template <bool kShift, bool kBound>
  void store_bytes(uint8_t* p, const I32 (&q)[V], const Bytes& to) const {
    // The bounds are the ends of the type where there are no others.
    for (int32_t n = 0; n < count_; ++n) {
      const int32_t v = q[n / kLanes][n % kLanes] + (kShift ? to.zero : 0);
      const int32_t least = v < to.low ? to.low : v;
      p[n] = static_cast<uint8_t>(least > to.high ? to.high : least);
    }
  }

 private:
  int32_t lanes(int j) const {
    const int32_t left = count_ - j * kLanes;
    return left < kLanes ? left : kLanes;
  }

  template <typename Vector, typename T>
  Vector load_lanes(int j, const T* p) const {
    Vector v = {};
    for (int32_t n = 0; n < lanes(j); ++n) v[n] = p[j * kLanes + n];
    return v;
  }

  template <typename Vector, typename T>
  void store_lanes(int j, T* p, Vector v) const {
    for (int32_t n = 0; n < lanes(j); ++n) p[j * kLanes + n] = v[n];
  }

  int32_t count_;
};

}  // namespace
}  // namespace pycompress
