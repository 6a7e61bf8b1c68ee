// The vocabulary of simd/scalar.h over zmm registers: AVX-512 F, BW, VL, DQ.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace pycompress {
namespace {

constexpr int64_t kLanes = 16;
constexpr bool kFused = true;

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

// ---- memory -------------------------------------------------------------------------------------

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline I32 load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline F32 load_partial(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
inline I32 load_partial(const int32_t* p, int64_t n) {
  return {_mm512_maskz_loadu_epi32(first_lanes(n), p)};
}
inline F32 in_register(F32 a) {
  __asm__("" : "+v"(a.v));
  return a;
}
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store(int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
inline void store_partial(float* p, int64_t n, F32 a) {
  _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
}
inline void store_partial(int32_t* p, int64_t n, I32 a) {
  _mm512_mask_storeu_epi32(p, first_lanes(n), a.v);
}

inline I32 load_i32(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I32 load_i32(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I32 load_i32_partial(const uint8_t* p, int64_t n) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p))};
}
inline I32 load_i32_partial(const int8_t* p, int64_t n) {
  return {_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p))};
}

inline __m128i saturate(I32 a, const uint8_t*) {
  return _mm512_cvtusepi32_epi8(_mm512_max_epi32(a.v, _mm512_setzero_si512()));
}
inline __m128i saturate(I32 a, const int8_t*) { return _mm512_cvtsepi32_epi8(a.v); }

template <typename Byte>
inline void store_sat(Byte* p, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), saturate(a, p));
}
template <typename Byte>
inline void store_sat_partial(Byte* p, int64_t n, I32 a) {
  _mm_mask_storeu_epi8(p, first_lanes(n), saturate(a, p));
}

inline __m512i pack_bytes(__m512i a, __m512i b, const uint8_t*) {
  return _mm512_packus_epi16(a, b);
}
inline __m512i pack_bytes(__m512i a, __m512i b, const int8_t*) { return _mm512_packs_epi16(a, b); }

// The packs work within each 128 bits and leave groups of 4 bytes in the order
// a0 b0 c0 d0 a1 b1 ...: one permutation puts them right.
struct Zeros4 {
  __m512i ab, cd;
};
inline Zeros4 zeros4(int32_t zero) {
  const __m512i all = _mm512_set1_epi16(static_cast<int16_t>(zero));
  return {all, all};
}
inline Zeros4 zeros4(I32 a, I32 b, I32 c, I32 d) {
  return {_mm512_packs_epi32(a.v, b.v), _mm512_packs_epi32(c.v, d.v)};
}
template <typename Byte>
inline __m512i pack4(I32 a, I32 b, I32 c, I32 d, const Zeros4& zeros, const Byte* p) {
  const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(a.v, b.v), zeros.ab);
  const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(c.v, d.v), zeros.cd);
  return pack_bytes(ab, cd, p);
}
inline __m512i packed_order() {
  return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}
template <bool kStream>
inline void store_line(void* p, __m512i bytes) {
  if (kStream) {
    _mm512_stream_si512(static_cast<__m512i*>(p), bytes);
  } else {
    _mm512_storeu_si512(p, bytes);
  }
}
template <bool kStream, typename Byte>
inline void store_sat4(Byte* p, I32 a, I32 b, I32 c, I32 d, const Zeros4& zeros) {
  store_line<kStream>(p, _mm512_permutexvar_epi32(packed_order(), pack4(a, b, c, d, zeros, p)));
}
inline void streams_done() { _mm_sfence(); }

// ---- float --------------------------------------------------------------------------------------

inline F32 set1(float a) { return {_mm512_set1_ps(a)}; }
inline F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
inline F32 neg(F32 a) { return {_mm512_xor_ps(_mm512_set1_ps(-0.0f), a.v)}; }
inline F32 copysign(F32 a, F32 sign) {
  const __m512 top = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(top, a.v), _mm512_and_ps(top, sign.v))};
}
inline F32 round_even(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 floor(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
inline F32 ceil(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)};
}

inline Mask less(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask equal(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask is_nan(F32 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline bool any(Mask a) { return a.v != 0; }
inline F32 select(Mask m, F32 yes, F32 no) { return {_mm512_mask_blend_ps(m.v, no.v, yes.v)}; }

inline F32 keep_first(F32 a, int64_t n, F32 rest) {
  return {_mm512_mask_blend_ps(first_lanes(n), rest.v, a.v)};
}

inline float reduce_add(F32 a) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
inline float reduce_min(F32 a) { return _mm512_reduce_min_ps(a.v); }
inline float reduce_max(F32 a) { return _mm512_reduce_max_ps(a.v); }

// ---- integer ------------------------------------------------------------------------------------

inline I32 set1(int32_t a) { return {_mm512_set1_epi32(a)}; }
inline I32 add(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I32 max(I32 a, I32 b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline I32 sub(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline I32 shift_right(I32 a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}

// ---- between the two ----------------------------------------------------------------------------

inline F32 to_f32(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
// The conversion gives INT_MIN for NaN and for what does not fit.
inline I32 to_i32(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
inline I32 bits(F32 a) { return {_mm512_castps_si512(a.v)}; }
inline F32 from_bits(I32 a) { return {_mm512_castsi512_ps(a.v)}; }

}  // namespace
}  // namespace pycompress
