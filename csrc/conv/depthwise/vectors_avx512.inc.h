// What a block of channels is held in: 32 in ymm registers, or 64 in zmm, which half as many
// instructions take care of.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace pycompress {
namespace {

constexpr float kSums = 2147483648.0f;  // the largest |sum|
constexpr float kInts = 2147483392.0f;  // with room for the rounding of the bound

struct Ymm {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int64_t kChannels = 32;

  // A vector of the first 32 channels, one of the others.
  static Int join(__m256i first, __m256i) { return first; }
  static Float join(__m256 first, __m256) { return first; }

  static Int load(const uint8_t* p, int64_t n) {
    if (n == kChannels) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_maskz_loadu_epi8((1u << n) - 1, p);
  }
  static void store(uint8_t* p, Int v, int64_t n) {
    if (n == kChannels) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
    } else {
      _mm256_mask_storeu_epi8(p, (1u << n) - 1, v);
    }
  }
  static Int flip(Int a) { return _mm256_xor_si256(a, _mm256_set1_epi8(static_cast<char>(0x80))); }
  static Int lo8(Int a, Int b) { return _mm256_unpacklo_epi8(a, b); }
  static Int hi8(Int a, Int b) { return _mm256_unpackhi_epi8(a, b); }
  static Int lo16(Int a, Int b) { return _mm256_unpacklo_epi16(a, b); }
  static Int hi16(Int a, Int b) { return _mm256_unpackhi_epi16(a, b); }
  static Int dot(Int acc, Int x, Int w) { return _mm256_dpbusd_epi32(acc, x, w); }
  static Int up(Int a, __m128i bits) { return _mm256_sll_epi32(a, bits); }
  static Int down(Int a, __m128i bits) { return _mm256_srl_epi32(a, bits); }
  static Int either(Int a, Int b) { return _mm256_or_si256(a, b); }
  static Float times(Int a, Float b) { return _mm256_mul_ps(_mm256_cvtepi32_ps(a), b); }
  static Float all(float a) { return _mm256_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float clamp(Float a, Float lo, Float hi) {
    return _mm256_min_ps(_mm256_max_ps(a, lo), hi);
  }
  // NaN stays: it is the second operand.
  static Float bounded(Float a, Float lo, Float hi) {
    return _mm256_min_ps(hi, _mm256_max_ps(lo, a));
  }
  // n floats from quads, whose 16-byte lanes are in order.
  static void store_quads(float* y, const Float (&v)[4], int64_t n) {
    alignas(32) float partial[kChannels];
    float* to = n == kChannels ? y : partial;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      _mm_storeu_ps(to + 4 * q, _mm256_castps256_ps128(v[q]));
      _mm_storeu_ps(to + 16 + 4 * q, _mm256_extractf128_ps(v[q], 1));
    }
    if (n != kChannels) __builtin_memcpy(y, partial, static_cast<size_t>(n) * sizeof(float));
  }
  static Int rounded(Float a) { return _mm256_cvtps_epi32(a); }
  static Int words(Int a, Int b, Int zero) {
    return _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero);
  }
  // Whether every sum, scaled and biased, is an int32 when it is rounded; NaN is none.
  static bool fits(Float scale, Float bias) {
    const Float sign = _mm256_set1_ps(-0.0f);
    const Float most = add(_mm256_mul_ps(_mm256_andnot_ps(sign, scale), _mm256_set1_ps(kSums)),
                           _mm256_andnot_ps(sign, bias));
    return _mm256_cmp_ps_mask(most, _mm256_set1_ps(kInts), _CMP_LT_OQ) == 0xff;
  }
  static Int bytes(Int a, Int b, bool is_unsigned) {
    return is_unsigned ? _mm256_packus_epi16(a, b) : _mm256_packs_epi16(a, b);
  }
};

struct Zmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int64_t kChannels = 64;

  static Int join(__m256i first, __m256i second) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
  static Float join(__m256 first, __m256 second) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1);
  }

  static Int load(const uint8_t* p, int64_t) { return _mm512_loadu_si512(p); }
  static void store(uint8_t* p, Int v, int64_t) { _mm512_storeu_si512(p, v); }
  static Int flip(Int a) { return _mm512_xor_si512(a, _mm512_set1_epi8(static_cast<char>(0x80))); }
  static Int lo8(Int a, Int b) { return _mm512_unpacklo_epi8(a, b); }
  static Int hi8(Int a, Int b) { return _mm512_unpackhi_epi8(a, b); }
  static Int lo16(Int a, Int b) { return _mm512_unpacklo_epi16(a, b); }
  static Int hi16(Int a, Int b) { return _mm512_unpackhi_epi16(a, b); }
  static Int dot(Int acc, Int x, Int w) { return _mm512_dpbusd_epi32(acc, x, w); }
  static Int up(Int a, __m128i bits) { return _mm512_sll_epi32(a, bits); }
  static Int down(Int a, __m128i bits) { return _mm512_srl_epi32(a, bits); }
  static Int either(Int a, Int b) { return _mm512_or_si512(a, b); }
  static Float times(Int a, Float b) { return _mm512_mul_ps(_mm512_cvtepi32_ps(a), b); }
  static Float all(float a) { return _mm512_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float clamp(Float a, Float lo, Float hi) {
    return _mm512_min_ps(_mm512_max_ps(a, lo), hi);
  }
  static Float bounded(Float a, Float lo, Float hi) {
    return _mm512_min_ps(hi, _mm512_max_ps(lo, a));
  }
  static void store_quads(float* y, const Float (&v)[4], int64_t) {
    const Float low01 = _mm512_shuffle_f32x4(v[0], v[1], 0x44);
    const Float low23 = _mm512_shuffle_f32x4(v[2], v[3], 0x44);
    const Float high01 = _mm512_shuffle_f32x4(v[0], v[1], 0xee);
    const Float high23 = _mm512_shuffle_f32x4(v[2], v[3], 0xee);
    _mm512_storeu_ps(y, _mm512_shuffle_f32x4(low01, low23, 0x88));
    _mm512_storeu_ps(y + 16, _mm512_shuffle_f32x4(low01, low23, 0xdd));
    _mm512_storeu_ps(y + 32, _mm512_shuffle_f32x4(high01, high23, 0x88));
    _mm512_storeu_ps(y + 48, _mm512_shuffle_f32x4(high01, high23, 0xdd));
  }
  static Int rounded(Float a) { return _mm512_cvtps_epi32(a); }
  static Int words(Int a, Int b, Int zero) {
    return _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero);
  }
  static bool fits(Float scale, Float bias) {
    const Float most =
        add(_mm512_mul_ps(_mm512_abs_ps(scale), _mm512_set1_ps(kSums)), _mm512_abs_ps(bias));
    return _mm512_cmp_ps_mask(most, _mm512_set1_ps(kInts), _CMP_LT_OQ) == 0xffff;
  }
  static Int bytes(Int a, Int b, bool is_unsigned) {
    return is_unsigned ? _mm512_packus_epi16(a, b) : _mm512_packs_epi16(a, b);
  }
};

// As interleave.inc.h draws it: the bytes of 4 rows side by side, in 4 quads.
template <class V, bool kFlip>
[[gnu::always_inline]] inline void interleave4(const uint8_t* const* rows, int64_t n,
                                               typename V::Int* out) {
  typename V::Int r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = V::load(rows[i], n);
    if (kFlip) r[i] = V::flip(r[i]);
  }
  const auto lo01 = V::lo8(r[0], r[1]);
  const auto hi01 = V::hi8(r[0], r[1]);
  const auto lo23 = V::lo8(r[2], r[3]);
  const auto hi23 = V::hi8(r[2], r[3]);
  out[0] = V::lo16(lo01, lo23);
  out[1] = V::hi16(lo01, lo23);
  out[2] = V::lo16(hi01, hi23);
  out[3] = V::hi16(hi01, hi23);
}

}  // namespace
}  // namespace pycompress
