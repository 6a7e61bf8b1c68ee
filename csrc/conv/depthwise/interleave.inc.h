// What conv/depthwise/columns.inc.h asks of the sets with ymm registers: 32 channels at a time. The
// file that includes it gives first: kParts, split(), WeightBuffer, widen_weights(), dot(),
// load_bytes(), store_bytes(), dot_pairs().
//
// Bytes, then words, are unpacked within 16-byte lanes. quad 0: channels 0-3 and 16-19, quad 1: 4-7
// and 20-23, quads 2 and 3 likewise. The packs that narrow the sums to bytes undo that order:
// nothing is ever put back in order.
#pragma once
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int64_t kBlock = 32;
using Bytes = __m256i;
using Sums = __m256i;

template <bool kFlip>
inline void interleave(const uint8_t* const* rows, int64_t n, __m256i* out) {
  __m256i r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = load_bytes(rows[i], n);
    if (kFlip) r[i] = _mm256_xor_si256(r[i], _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  const __m256i lo01 = _mm256_unpacklo_epi8(r[0], r[1]);
  const __m256i hi01 = _mm256_unpackhi_epi8(r[0], r[1]);
  const __m256i lo23 = _mm256_unpacklo_epi8(r[2], r[3]);
  const __m256i hi23 = _mm256_unpackhi_epi8(r[2], r[3]);
  split(_mm256_unpacklo_epi16(lo01, lo23), out);
  split(_mm256_unpackhi_epi16(lo01, lo23), out + kParts);
  split(_mm256_unpacklo_epi16(hi01, hi23), out + 2 * kParts);
  split(_mm256_unpackhi_epi16(hi01, hi23), out + 3 * kParts);
}

// What an epilogue needs at 32 channels, read once for all pixels of a call.
struct Lane32 {
  const Epilogue& epilogue;
  const DepthwiseArgs& args;
  int64_t channel, n;
  bool has_bias;
  bool whole_range = false;  // of a type of bytes: lo and hi are its ends
  __m256i init[4];
  __m256 scale[4];
  __m256 bias[4];
  __m256 lo, hi;
  __m256i zero;

  Lane32(const DepthwiseArgs& a, int64_t c, int64_t count)
      : epilogue(*a.epilogue), args(a), channel(c), n(count), has_bias(epilogue.bias != nullptr) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int64_t at = c + 8 * q;
      init[q] = _mm256_setzero_si256();
      scale[q] = _mm256_set1_ps(1.0f);
      bias[q] = _mm256_setzero_ps();
      if (epilogue.init != nullptr) {
        init[q] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(epilogue.init + at));
      }
      if (epilogue.scale != nullptr) scale[q] = _mm256_loadu_ps(epilogue.scale + at);
      if (has_bias) bias[q] = _mm256_loadu_ps(epilogue.bias + at);
    }
    float low = epilogue.lo;
    float high = epilogue.hi;
    if (epilogue.out == Out::u8 || epilogue.out == Out::s8) {
      // Saturation before rounding is saturation after it: the bounds are integers.
      const int32_t least = epilogue.out == Out::u8 ? 0 : -128;
      const auto bottom = static_cast<float>(least - epilogue.out_zero);
      const auto top = static_cast<float>(least + 255 - epilogue.out_zero);
      low = low < bottom + 0.5f ? bottom : low > top ? top : low;
      high = high > top - 0.5f ? top : high < bottom ? bottom : high;
      whole_range = low == bottom && high == top;
    }
    lo = _mm256_set1_ps(low);
    hi = _mm256_set1_ps(high);
    zero = _mm256_set1_epi16(static_cast<int16_t>(epilogue.out_zero));
  }

  __m256 scaled(__m256i acc, int quad) const {
    const __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale[quad]);
    return has_bias ? _mm256_add_ps(v, bias[quad]) : v;
  }

  __m256 swished(__m256 v, const HardSwish& h) const {
    const __m256 slope =
        _mm256_add_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.0f / 6.0f)), _mm256_set1_ps(0.5f));
    v = _mm256_mul_ps(
        v, _mm256_min_ps(_mm256_max_ps(slope, _mm256_setzero_ps()), _mm256_set1_ps(1.0f)));
    v = _mm256_add_ps(_mm256_mul_ps(v, _mm256_set1_ps(h.gain)), _mm256_set1_ps(h.shift));
    return _mm256_fmadd_ps(v, _mm256_set1_ps(h.reciprocal),
                           _mm256_mul_ps(v, _mm256_set1_ps(h.rest)));
  }

  __m256 clamped(__m256 v) const { return _mm256_min_ps(_mm256_max_ps(v, lo), hi); }

  // 32-bit results go to memory through their 16-byte halves, which are in order.
  void store_quads(const __m256i* v, int64_t pixel) const {
    auto* y = static_cast<int32_t*>(args.y) + pixel * args.ldy + channel;
    alignas(32) int32_t partial[kBlock];
    int32_t* out = n == kBlock ? y : partial;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * q), _mm256_castsi256_si128(v[q]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 + 4 * q),
                       _mm256_extracti128_si256(v[q], 1));
    }
    if (n != kBlock) __builtin_memcpy(y, partial, static_cast<size_t>(n) * sizeof(int32_t));
  }

  void store_f32(__m256i* acc, int64_t pixel) const {
    alignas(32) float residual[kBlock];
    const float* r = static_cast<const float*>(epilogue.residual);
    if (r != nullptr) {
      r += (args.row + pixel) * epilogue.residual_ld + channel;
      if (n != kBlock) {
        __builtin_memcpy(residual, r, static_cast<size_t>(n) * sizeof(float));
        r = residual;
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      __m256 v = scaled(acc[q], q);
      if (r != nullptr) {
        const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(r + 4 * q));
        v = _mm256_add_ps(v, _mm256_insertf128_ps(low, _mm_loadu_ps(r + 16 + 4 * q), 1));
      }
      // NaN stays: it is the second operand. In bytes it goes to the low end, by clamped().
      v = _mm256_min_ps(hi, _mm256_max_ps(lo, v));
      acc[q] = _mm256_castps_si256(v);
    }
    store_quads(acc, pixel);
  }

  // The residual's bytes, widened in lane order.
  void add_residual(__m256* v, int64_t pixel) const {
    const bool is_signed = epilogue.out == Out::s8;
    const auto* r = static_cast<const uint8_t*>(epilogue.residual) +
                    (args.row + pixel) * epilogue.residual_ld + channel;
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(is_signed ? 0x80 : 0));
    const __m256i origin = _mm256_set1_epi32(epilogue.residual_zero + (is_signed ? 128 : 0));
    const __m256 size = _mm256_set1_ps(epilogue.residual_scale);
    const __m256i none = _mm256_setzero_si256();
    const __m256i bytes = _mm256_xor_si256(load_bytes(r, n), flip);
    const __m256i lo = _mm256_unpacklo_epi8(bytes, none);
    const __m256i hi = _mm256_unpackhi_epi8(bytes, none);
    const __m256i quads[4] = {_mm256_unpacklo_epi16(lo, none), _mm256_unpackhi_epi16(lo, none),
                              _mm256_unpacklo_epi16(hi, none), _mm256_unpackhi_epi16(hi, none)};
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(quads[q], origin));
      v[q] = _mm256_add_ps(v[q], _mm256_mul_ps(x, size));
    }
  }

  void store_q8(const __m256i* acc, int64_t pixel) const {
    __m256 v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) v[q] = scaled(acc[q], q);
    if (epilogue.residual != nullptr) add_residual(v, pixel);
    if (epilogue.hard_swish != nullptr) {
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) v[q] = swished(v[q], *epilogue.hard_swish);
    }
    __m256i i[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) i[q] = _mm256_cvtps_epi32(clamped(v[q]));
    const __m256i low = _mm256_add_epi16(_mm256_packs_epi32(i[0], i[1]), zero);
    const __m256i high = _mm256_add_epi16(_mm256_packs_epi32(i[2], i[3]), zero);
    auto* y = static_cast<uint8_t*>(args.y) + pixel * args.ldy + channel;
    store_bytes(
        y, epilogue.out == Out::u8 ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high),
        n);
  }
};

using Lane = Lane32;

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/columns.inc.h"
