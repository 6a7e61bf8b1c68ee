// The vocabulary of simd/scalar.h over ymm registers: AVX2 and FMA.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace pycompress {
namespace {

constexpr int64_t kLanes = 8;
constexpr bool kFused = true;

struct F32 {
  __m256 v;
};
struct I32 {
  __m256i v;
};
struct Mask {
  __m256 v;
};

// ---- memory -------------------------------------------------------------------------------------

alignas(32) constexpr int32_t kFirstLanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

inline __m256i first_lanes(int64_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirstLanes + kLanes - n));
}

inline F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline I32 load(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline F32 load_partial(const float* p, int64_t n) {
  return {_mm256_maskload_ps(p, first_lanes(n))};
}
inline I32 load_partial(const int32_t* p, int64_t n) {
  return {_mm256_maskload_epi32(p, first_lanes(n))};
}
inline F32 in_register(F32 a) {
  __asm__("" : "+x"(a.v));
  return a;
}
inline void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
inline void store(int32_t* p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline void store_partial(float* p, int64_t n, F32 a) {
  _mm256_maskstore_ps(p, first_lanes(n), a.v);
}
inline void store_partial(int32_t* p, int64_t n, I32 a) {
  _mm256_maskstore_epi32(p, first_lanes(n), a.v);
}

inline I32 load_i32(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline I32 load_i32(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
template <typename Byte>
inline I32 load_i32_partial(const Byte* p, int64_t n) {
  Byte block[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) block[i] = p[i];
  return load_i32(block);
}

inline __m128i pack_bytes(__m128i a, const uint8_t*) { return _mm_packus_epi16(a, a); }
inline __m128i pack_bytes(__m128i a, const int8_t*) { return _mm_packs_epi16(a, a); }

template <typename Byte>
inline void store_sat(Byte* p, I32 a) {
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), pack_bytes(words, p));
}
template <typename Byte>
inline void store_sat_partial(Byte* p, int64_t n, I32 a) {
  Byte block[kLanes];
  store_sat(block, a);
  for (int64_t i = 0; i < n; ++i) p[i] = block[i];
}

inline __m256i pack_bytes(__m256i a, __m256i b, const uint8_t*) {
  return _mm256_packus_epi16(a, b);
}
inline __m256i pack_bytes(__m256i a, __m256i b, const int8_t*) { return _mm256_packs_epi16(a, b); }

// The packs work within each 128 bits and leave groups of 4 bytes in the order
// a0 b0 c0 d0 a1 b1 c1 d1: one permutation puts them right.
struct Zeros4 {
  __m256i ab, cd;
};
inline Zeros4 zeros4(int32_t zero) {
  const __m256i all = _mm256_set1_epi16(static_cast<int16_t>(zero));
  return {all, all};
}
inline Zeros4 zeros4(I32 a, I32 b, I32 c, I32 d) {
  return {_mm256_packs_epi32(a.v, b.v), _mm256_packs_epi32(c.v, d.v)};
}
template <bool kStream, typename Byte>
inline void store_sat4(Byte* p, I32 a, I32 b, I32 c, I32 d, const Zeros4& zeros) {
  const __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(a.v, b.v), zeros.ab);
  const __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(c.v, d.v), zeros.cd);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(pack_bytes(ab, cd, p), order);
  if (kStream) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bytes);
  } else {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes);
  }
}
inline void streams_done() { _mm_sfence(); }

// ---- float --------------------------------------------------------------------------------------

inline F32 set1(float a) { return {_mm256_set1_ps(a)}; }
inline F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline F32 neg(F32 a) { return {_mm256_xor_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline F32 copysign(F32 a, F32 sign) {
  const __m256 top = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(top, a.v), _mm256_and_ps(top, sign.v))};
}
inline F32 round_even(F32 a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 floor(F32 a) { return {_mm256_floor_ps(a.v)}; }
inline F32 ceil(F32 a) { return {_mm256_ceil_ps(a.v)}; }

inline Mask less(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask equal(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask is_nan(F32 a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
inline bool any(Mask a) { return _mm256_movemask_ps(a.v) != 0; }
inline F32 select(Mask m, F32 yes, F32 no) { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }

inline F32 keep_first(F32 a, int64_t n, F32 rest) {
  return {_mm256_blendv_ps(rest.v, a.v, _mm256_castsi256_ps(first_lanes(n)))};
}

inline float reduce_add(F32 a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
inline float reduce_min(F32 a) {
  __m128 x = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_min_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_min_ss(x, _mm_movehdup_ps(x)));
}
inline float reduce_max(F32 a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

// ---- integer ------------------------------------------------------------------------------------

inline I32 set1(int32_t a) { return {_mm256_set1_epi32(a)}; }
inline I32 add(I32 a, I32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline I32 max(I32 a, I32 b) { return {_mm256_max_epi32(a.v, b.v)}; }
inline I32 sub(I32 a, I32 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
  return {_mm256_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline I32 shift_right(I32 a) {
  return {_mm256_srai_epi32(a.v, kBits)};
}

// ---- between the two ----------------------------------------------------------------------------

inline F32 to_f32(I32 a) { return {_mm256_cvtepi32_ps(a.v)}; }
// The conversion gives INT_MIN for NaN and for what does not fit.
inline I32 to_i32(F32 a) { return {_mm256_cvtps_epi32(a.v)}; }
inline I32 bits(F32 a) { return {_mm256_castps_si256(a.v)}; }
inline F32 from_bits(I32 a) { return {_mm256_castsi256_ps(a.v)}; }

}  // namespace
}  // namespace pycompress
