// The vocabulary of the family kernels (<family>/<family>.inc.h), one lane at a time.
//
// Every simd/ header gives the same names over its own registers, each in an anonymous namespace: a
// kernel written once over them is compiled once per instruction set and no symbol is shared. What
// a name means is said here; the other headers say only what is particular to them.
#pragma once
#include <stdint.h>

namespace pycompress {
namespace {

constexpr int64_t kLanes = 1;
constexpr bool kFused = false;  // whether fma() rounds once

struct F32 {
  float v;
};
struct I32 {
  int32_t v;
};
struct Mask {
  bool v;
};

// ---- memory: full vectors, and the first n lanes (0 < n < kLanes) with zeros in the rest
// -------------

inline F32 load(const float* p) { return {*p}; }
inline I32 load(const int32_t* p) { return {*p}; }
// For a value that is used twice: gcc would rather load it twice.
inline F32 in_register(F32 a) { return a; }
inline F32 load_partial(const float*, int64_t) { return {0.0f}; }
inline I32 load_partial(const int32_t*, int64_t) { return {0}; }
inline void store(float* p, F32 a) { *p = a.v; }
inline void store(int32_t* p, I32 a) { *p = a.v; }
inline void store_partial(float*, int64_t, F32) {}
inline void store_partial(int32_t*, int64_t, I32) {}

// Bytes, widened to 32 bits.
inline I32 load_i32(const uint8_t* p) { return {*p}; }
inline I32 load_i32(const int8_t* p) { return {*p}; }
inline I32 load_i32_partial(const uint8_t*, int64_t) { return {0}; }
inline I32 load_i32_partial(const int8_t*, int64_t) { return {0}; }

// 32 bits, saturated to bytes.
inline void store_sat(uint8_t* p, I32 a) {
  *p = static_cast<uint8_t>(a.v < 0 ? 0 : a.v > 255 ? 255 : a.v);
}
inline void store_sat(int8_t* p, I32 a) {
  *p = static_cast<int8_t>(a.v < -128 ? -128 : a.v > 127 ? 127 : a.v);
}
inline void store_sat_partial(uint8_t*, int64_t, I32) {}
inline void store_sat_partial(int8_t*, int64_t, I32) {}

// Four vectors at once: saturate(a + zero), the sum itself saturating, for |zero| <= 255. kStream:
// around the caches, where p is aligned to the four; streams_done() comes before anyone reads them.
struct Zeros4 {
  int32_t v[4];
};
inline Zeros4 zeros4(int32_t zero) { return {{zero, zero, zero, zero}}; }
inline Zeros4 zeros4(I32 a, I32 b, I32 c, I32 d) { return {{a.v, b.v, c.v, d.v}}; }
template <bool kStream, typename Byte>
inline void store_sat4(Byte* p, I32 a, I32 b, I32 c, I32 d, const Zeros4& zeros) {
  const int32_t in[4] = {a.v, b.v, c.v, d.v};
  for (int i = 0; i < 4; ++i) {
    store_sat(p + i, I32{(in[i] < -65536 ? -65536 : in[i]) + zeros.v[i]});
  }
}
inline void streams_done() {}

// ---- float
// ----------------------------------------------------------------------------------------------

inline F32 set1(float a) { return {a}; }
inline F32 add(F32 a, F32 b) { return {a.v + b.v}; }
inline F32 sub(F32 a, F32 b) { return {a.v - b.v}; }
inline F32 mul(F32 a, F32 b) { return {a.v * b.v}; }
inline F32 div(F32 a, F32 b) { return {a.v / b.v}; }
inline F32 sqrt(F32 a) { return {__builtin_sqrtf(a.v)}; }
// a * b + c, rounded once where the CPU can: for float results only, never for what feeds an
// integer.
inline F32 fma(F32 a, F32 b, F32 c) { return {a.v * b.v + c.v}; }
// a < b ? a : b and a > b ? a : b: the second operand where one is NaN.
inline F32 min(F32 a, F32 b) { return {a.v < b.v ? a.v : b.v}; }
inline F32 max(F32 a, F32 b) { return {a.v > b.v ? a.v : b.v}; }
inline F32 abs(F32 a) { return {__builtin_fabsf(a.v)}; }
inline F32 neg(F32 a) { return {-a.v}; }
inline F32 copysign(F32 a, F32 sign) { return {__builtin_copysignf(a.v, sign.v)}; }

// Adding 1.5 * 2^23 leaves no bit below one, and the addition rounds half to even.
inline F32 round_even(F32 a) {
  const float size = __builtin_fabsf(a.v);
  const float rounded = (size + 8388608.0f) - 8388608.0f;
  return {size < 8388608.0f ? __builtin_copysignf(rounded, a.v) : a.v};
}
inline F32 floor(F32 a) { return {__builtin_floorf(a.v)}; }
inline F32 ceil(F32 a) { return {__builtin_ceilf(a.v)}; }

inline Mask less(F32 a, F32 b) { return {a.v < b.v}; }
inline Mask equal(F32 a, F32 b) { return {a.v == b.v}; }
inline Mask is_nan(F32 a) { return {a.v != a.v}; }
inline bool any(Mask a) { return a.v; }
inline F32 select(Mask m, F32 yes, F32 no) { return m.v ? yes : no; }

// The first n lanes (0 < n <= kLanes) of a, the others of rest.
inline F32 keep_first(F32 a, int64_t, F32) { return a; }

// Half by half: lanes i and i + kLanes / 2, until one is left.
inline float reduce_add(F32 a) { return a.v; }
inline float reduce_min(F32 a) { return a.v; }
inline float reduce_max(F32 a) { return a.v; }

// ---- integer
// --------------------------------------------------------------------------------------------

inline I32 set1(int32_t a) { return {a}; }
// Sums wrap.
inline I32 add(I32 a, I32 b) {
  return {static_cast<int32_t>(static_cast<uint32_t>(a.v) + static_cast<uint32_t>(b.v))};
}
inline I32 max(I32 a, I32 b) { return {a.v > b.v ? a.v : b.v}; }
inline I32 sub(I32 a, I32 b) {
  return {static_cast<int32_t>(static_cast<uint32_t>(a.v) - static_cast<uint32_t>(b.v))};
}
template <int kBits>
inline I32 shift_left(I32 a) {
  return {static_cast<int32_t>(static_cast<uint32_t>(a.v) << kBits)};
}
template <int kBits>
inline I32 shift_right(I32 a) {  // the sign comes in from the left
  return {a.v >> kBits};
}

// ---- between the two
// ------------------------------------------------------------------------------------

inline F32 to_f32(I32 a) { return {static_cast<float>(a.v)}; }
// Nearest, ties to even, for |a| <= 2^22; NaN and what is smaller give a number below -2^21, what
// is larger is not allowed.
inline I32 to_i32(F32 a) {
  const float bounded = a.v > -4194304.0f ? a.v : -4194304.0f;
  return {static_cast<int32_t>((bounded + 12582912.0f) - 12582912.0f)};
}
inline I32 bits(F32 a) {
  I32 r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}
inline F32 from_bits(I32 a) {
  F32 r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}

}  // namespace
}  // namespace pycompress
