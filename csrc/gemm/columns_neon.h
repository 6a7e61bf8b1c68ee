// Vectors of 4 columns for gemm/epilogue.inc.h. There are no masks: an edge goes through memory.
#pragma once
#include <arm_neon.h>

#include "gemm/bytes.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kLanes = 4;
using F32 = float __attribute__((vector_size(16)));
using I32 = int32_t __attribute__((vector_size(16)));

// The second operand where one is NaN.
[[gnu::always_inline]] inline F32 min(F32 a, F32 b) {
  return (F32)vbslq_f32(vcltq_f32(a, b), a, b);
}
[[gnu::always_inline]] inline F32 max(F32 a, F32 b) {
  return (F32)vbslq_f32(vcgtq_f32(a, b), a, b);
}
[[gnu::always_inline]] inline I32 round_even(F32 a) { return (I32)vcvtnq_s32_f32(a); }

template <int V>
class Columns {
 public:
  explicit Columns(int32_t count) : count_(count) {}

  F32 load(int j, const float* p) const { return load_vector<F32>(j, p); }
  I32 load(int j, const int32_t* p) const { return load_vector<I32>(j, p); }
  I32 load(int j, const uint8_t* p) const { return load_bytes(j, p); }
  I32 load(int j, const int8_t* p) const { return load_bytes(j, p); }
  void store(int j, float* p, F32 v) const { store_vector(j, p, v); }
  void store(int j, int32_t* p, I32 v) const { store_vector(j, p, v); }

  // Saturates the row's int32, plus the zero point if kShift, and keeps it within its bounds if
  // kBound.
  template <bool kShift, bool kBound>
  [[gnu::always_inline]] void store_bytes(uint8_t* p, const I32 (&q)[V], const Bytes& to) const {
    int16x4_t words[4];
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) words[j] = vqmovn_s32((int32x4_t)q[j < V ? j : 0]);
    int16x8_t low = vcombine_s16(words[0], words[1]);
    int16x8_t high = vcombine_s16(words[2], words[3]);
    if (kShift) {
      const int16x8_t zeros = vdupq_n_s16(static_cast<int16_t>(to.zero));
      low = vqaddq_s16(low, zeros);
      high = vqaddq_s16(high, zeros);
    }
    uint8x16_t bytes = to.is_signed
                           ? vreinterpretq_u8_s8(vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)))
                           : vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
    if (kBound) {
      const uint8x16_t least = vdupq_n_u8(static_cast<uint8_t>(to.low));
      const uint8x16_t most = vdupq_n_u8(static_cast<uint8_t>(to.high));
      bytes = to.is_signed ? vreinterpretq_u8_s8(vminq_s8(
                                 vmaxq_s8(vreinterpretq_s8_u8(bytes), vreinterpretq_s8_u8(least)),
                                 vreinterpretq_s8_u8(most)))
                           : vminq_u8(vmaxq_u8(bytes, least), most);
    }
    if (V == 4 && count_ == V * kLanes) {
      vst1q_u8(p, bytes);
      return;
    }
    uint8_t row[16];
    vst1q_u8(row, bytes);
    for (int32_t n = 0; n < count_; ++n) p[n] = row[n];
  }

 private:
  int32_t left(int j) const { return count_ - j * kLanes; }

  template <typename Vector, typename T>
  Vector load_vector(int j, const T* p) const {
    p += j * kLanes;
    Vector v = {};
    if (left(j) >= kLanes) {
      __builtin_memcpy(&v, p, sizeof(v));
      return v;
    }
    T row[kLanes] = {};
    for (int32_t n = 0; n < left(j); ++n) row[n] = p[n];
    __builtin_memcpy(&v, row, sizeof(v));
    return v;
  }

  template <typename Byte>
  I32 load_bytes(int j, const Byte* p) const {
    p += j * kLanes;
    int32_t row[kLanes] = {};
    for (int32_t n = 0; n < kLanes && n < left(j); ++n) row[n] = p[n];
    I32 v;
    __builtin_memcpy(&v, row, sizeof(v));
    return v;
  }

  template <typename Vector, typename T>
  void store_vector(int j, T* p, Vector v) const {
    p += j * kLanes;
    if (left(j) >= kLanes) {
      __builtin_memcpy(p, &v, sizeof(v));
      return;
    }
    T row[kLanes];
    __builtin_memcpy(row, &v, sizeof(v));
    for (int32_t n = 0; n < left(j); ++n) p[n] = row[n];
  }

  int32_t count_;
};

}  // namespace
}  // namespace pycompress
