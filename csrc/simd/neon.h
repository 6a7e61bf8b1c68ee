// The vocabulary of simd/scalar.h over the 128-bit registers of AArch64.
#pragma once
#include <arm_neon.h>
#include <stdint.h>

namespace pycompress {
namespace {

constexpr int64_t kLanes = 4;
constexpr bool kFused = true;

struct F32 {
  float32x4_t v;
};
struct I32 {
  int32x4_t v;
};
struct Mask {
  uint32x4_t v;
};

// ---- memory -------------------------------------------------------------------------------------

inline F32 load(const float* p) { return {vld1q_f32(p)}; }
inline I32 load(const int32_t* p) { return {vld1q_s32(p)}; }
inline void store(float* p, F32 a) { vst1q_f32(p, a.v); }
inline void store(int32_t* p, I32 a) { vst1q_s32(p, a.v); }
inline F32 in_register(F32 a) {
  __asm__("" : "+w"(a.v));
  return a;
}
inline F32 load_partial(const float* p, int64_t n) {
  float block[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) block[i] = p[i];
  return load(block);
}
inline I32 load_partial(const int32_t* p, int64_t n) {
  int32_t block[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) block[i] = p[i];
  return load(block);
}
inline void store_partial(float* p, int64_t n, F32 a) {
  float block[kLanes];
  store(block, a);
  for (int64_t i = 0; i < n; ++i) p[i] = block[i];
}
inline void store_partial(int32_t* p, int64_t n, I32 a) {
  int32_t block[kLanes];
  store(block, a);
  for (int64_t i = 0; i < n; ++i) p[i] = block[i];
}

inline I32 load_i32(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(word)));
  return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)))};
}
inline I32 load_i32(const int8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return {vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(word)))))};
}
template <typename Byte>
inline I32 load_i32_partial(const Byte* p, int64_t n) {
  Byte block[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) block[i] = p[i];
  return load_i32(block);
}

inline void store_sat(uint8_t* p, I32 a) {
  const int16x4_t words = vqmovn_s32(a.v);
  const uint8x8_t bytes = vqmovun_s16(vcombine_s16(words, words));
  const uint32_t word = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  __builtin_memcpy(p, &word, sizeof word);
}
inline void store_sat(int8_t* p, I32 a) {
  const int16x4_t words = vqmovn_s32(a.v);
  const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
  const uint32_t word = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
  __builtin_memcpy(p, &word, sizeof word);
}
template <typename Byte>
inline void store_sat_partial(Byte* p, int64_t n, I32 a) {
  Byte block[kLanes];
  store_sat(block, a);
  for (int64_t i = 0; i < n; ++i) p[i] = block[i];
}

inline void store_bytes(uint8_t* p, int16x8_t a, int16x8_t b) {
  vst1q_u8(p, vcombine_u8(vqmovun_s16(a), vqmovun_s16(b)));
}
inline void store_bytes(int8_t* p, int16x8_t a, int16x8_t b) {
  vst1q_s8(p, vcombine_s8(vqmovn_s16(a), vqmovn_s16(b)));
}
struct Zeros4 {
  int16x8_t ab, cd;
};
inline Zeros4 zeros4(int32_t zero) {
  const int16x8_t all = vdupq_n_s16(static_cast<int16_t>(zero));
  return {all, all};
}
inline Zeros4 zeros4(I32 a, I32 b, I32 c, I32 d) {
  return {vcombine_s16(vqmovn_s32(a.v), vqmovn_s32(b.v)),
          vcombine_s16(vqmovn_s32(c.v), vqmovn_s32(d.v))};
}
// There is no intrinsic of a store around the caches.
template <bool kStream, typename Byte>
inline void store_sat4(Byte* p, I32 a, I32 b, I32 c, I32 d, const Zeros4& zeros) {
  const int16x8_t ab = vcombine_s16(vqmovn_s32(a.v), vqmovn_s32(b.v));
  const int16x8_t cd = vcombine_s16(vqmovn_s32(c.v), vqmovn_s32(d.v));
  store_bytes(p, vqaddq_s16(ab, zeros.ab), vqaddq_s16(cd, zeros.cd));
}
inline void streams_done() {}

// ---- float --------------------------------------------------------------------------------------

inline F32 set1(float a) { return {vdupq_n_f32(a)}; }
inline F32 add(F32 a, F32 b) { return {vaddq_f32(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {vsubq_f32(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {vmulq_f32(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {vdivq_f32(a.v, b.v)}; }
inline F32 sqrt(F32 a) { return {vsqrtq_f32(a.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
// vminq and vmaxq give NaN where either is NaN; the vocabulary wants the second operand.
inline F32 min(F32 a, F32 b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline F32 abs(F32 a) { return {vabsq_f32(a.v)}; }
inline F32 neg(F32 a) { return {vnegq_f32(a.v)}; }
inline F32 copysign(F32 a, F32 sign) { return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, a.v)}; }
inline F32 round_even(F32 a) { return {vrndnq_f32(a.v)}; }
inline F32 floor(F32 a) { return {vrndmq_f32(a.v)}; }
inline F32 ceil(F32 a) { return {vrndpq_f32(a.v)}; }

inline Mask less(F32 a, F32 b) { return {vcltq_f32(a.v, b.v)}; }
inline Mask equal(F32 a, F32 b) { return {vceqq_f32(a.v, b.v)}; }
inline Mask is_nan(F32 a) { return {vmvnq_u32(vceqq_f32(a.v, a.v))}; }
inline bool any(Mask a) { return vmaxvq_u32(a.v) != 0; }
inline F32 select(Mask m, F32 yes, F32 no) { return {vbslq_f32(m.v, yes.v, no.v)}; }

inline F32 keep_first(F32 a, int64_t n, F32 rest) {
  const int32x4_t lane = {0, 1, 2, 3};
  return {vbslq_f32(vcltq_s32(lane, vdupq_n_s32(static_cast<int32_t>(n))), a.v, rest.v)};
}

inline float reduce_add(F32 a) {
  const float32x2_t half = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(vpadd_f32(half, half), 0);
}
inline float reduce_min(F32 a) { return vminvq_f32(a.v); }
inline float reduce_max(F32 a) { return vmaxvq_f32(a.v); }

// ---- integer ------------------------------------------------------------------------------------

inline I32 set1(int32_t a) { return {vdupq_n_s32(a)}; }
inline I32 add(I32 a, I32 b) { return {vaddq_s32(a.v, b.v)}; }
inline I32 max(I32 a, I32 b) { return {vmaxq_s32(a.v, b.v)}; }
inline I32 sub(I32 a, I32 b) { return {vsubq_s32(a.v, b.v)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
  return {vshlq_n_s32(a.v, kBits)};
}
template <int kBits>
inline I32 shift_right(I32 a) {
  return {vshrq_n_s32(a.v, kBits)};
}

// ---- between the two ----------------------------------------------------------------------------

inline F32 to_f32(I32 a) { return {vcvtq_f32_s32(a.v)}; }
// The conversion saturates, but gives 0 for NaN: the comparison turns NaN into a small number
// first.
inline I32 to_i32(F32 a) { return {vcvtnq_s32_f32(max(a, set1(-4194304.0f)).v)}; }
inline I32 bits(F32 a) { return {vreinterpretq_s32_f32(a.v)}; }
inline F32 from_bits(I32 a) { return {vreinterpretq_f32_s32(a.v)}; }

}  // namespace
}  // namespace pycompress
