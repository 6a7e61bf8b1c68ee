// Vectors of 8 columns for gemm/epilogue.inc.h. Masked loads cost nothing; masked stores do, so
// only an edge uses them. There are no masks for bytes: an edge goes through memory.
#pragma once
#include <immintrin.h>

#include "gemm/bytes.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kLanes = 8;
using F32 = float __attribute__((vector_size(32)));
using I32 = int32_t __attribute__((vector_size(32)));

// The second operand where one is NaN.
[[gnu::always_inline]] inline F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
[[gnu::always_inline]] inline F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
[[gnu::always_inline]] inline I32 round_even(F32 a) { return (I32)_mm256_cvtps_epi32(a); }

template <int V>
class Columns {
 public:
  explicit Columns(int32_t count) : count_(count), full_(count == V * kLanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j)
      mask_[j] = _mm256_cmpgt_epi32(_mm256_set1_epi32(count - j * kLanes), lane);
  }

  F32 load(int j, const float* p) const { return _mm256_maskload_ps(p + j * kLanes, mask_[j]); }
  I32 load(int j, const int32_t* p) const {
    return (I32)_mm256_maskload_epi32(p + j * kLanes, mask_[j]);
  }
  I32 load(int j, const uint8_t* p) const { return (I32)_mm256_cvtepu8_epi32(load_bytes(j, p)); }
  I32 load(int j, const int8_t* p) const {
    return (I32)_mm256_cvtepi8_epi32(load_bytes(j, reinterpret_cast<const uint8_t*>(p)));
  }
  void store(int j, float* p, F32 v) const {
    if (full_) {
      _mm256_storeu_ps(p + j * kLanes, v);
    } else {
      _mm256_maskstore_ps(p + j * kLanes, mask_[j], v);
    }
  }
  void store(int j, int32_t* p, I32 v) const {
    if (full_) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + j * kLanes), (__m256i)v);
    } else {
      _mm256_maskstore_epi32(p + j * kLanes, mask_[j], (__m256i)v);
    }
  }

  // Saturates the row's int32, plus the zero point if kShift, and keeps it within its bounds if
  // kBound.
  template <bool kShift, bool kBound>
  [[gnu::always_inline]] void store_bytes(uint8_t* p, const I32 (&q)[V], const Bytes& to) const {
    // The packs work within 128-bit lanes: the middle quarters change places.
    __m256i packed = _mm256_packs_epi32((__m256i)q[0], (__m256i)q[V - 1]);
    if (kShift)
      packed = _mm256_adds_epi16(packed, _mm256_set1_epi16(static_cast<int16_t>(to.zero)));
    const __m256i words = _mm256_permute4x64_epi64(packed, 0xd8);
    const __m128i low = _mm256_castsi256_si128(words);
    const __m128i high = _mm256_extracti128_si256(words, 1);
    __m128i bytes = to.is_signed ? _mm_packs_epi16(low, high) : _mm_packus_epi16(low, high);
    if (kBound) {
      const __m128i least = _mm_set1_epi8(static_cast<char>(to.low));
      const __m128i most = _mm_set1_epi8(static_cast<char>(to.high));
      bytes = to.is_signed ? _mm_min_epi8(_mm_max_epi8(bytes, least), most)
                           : _mm_min_epu8(_mm_max_epu8(bytes, least), most);
    }
    if (full_ && V == 2) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    } else if (full_) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
    } else {
      uint8_t row[16];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row), bytes);
      for (int32_t n = 0; n < count_; ++n) p[n] = row[n];
    }
  }

 private:
  [[gnu::always_inline]] __m128i load_bytes(int j, const uint8_t* p) const {
    p += j * kLanes;
    if (full_) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    uint8_t row[8] = {};
    for (int32_t n = 0; n < kLanes && n < count_ - j * kLanes; ++n) row[n] = p[n];
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  }

  int32_t count_;
  bool full_;
  __m256i mask_[V];
};

}  // namespace
}  // namespace pycompress
