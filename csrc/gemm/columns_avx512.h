// Vectors of 16 columns for gemm/epilogue.inc.h: every access is masked, so an edge costs no
// branch.
#pragma once
#include <immintrin.h>

#include "gemm/bytes.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kLanes = 16;
using F32 = float __attribute__((vector_size(64)));
using I32 = int32_t __attribute__((vector_size(64)));

// The second operand where one is NaN.
[[gnu::always_inline]] inline F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
[[gnu::always_inline]] inline F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
[[gnu::always_inline]] inline I32 round_even(F32 a) { return (I32)_mm512_cvtps_epi32(a); }

// The lowest `count` of 64 bits: none below 0, all above 64.
[[gnu::always_inline]] inline uint64_t low_bits(int64_t count) {
  return count <= 0 ? 0 : (count >= 64 ? ~0ull : (1ull << count) - 1);
}

template <int V>
class Columns {
 public:
  explicit Columns(int32_t count) : bytes_(low_bits(count)) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) mask_[j] = static_cast<__mmask16>(bytes_ >> (j * kLanes));
  }

  F32 load(int j, const float* p) const { return _mm512_maskz_loadu_ps(mask_[j], p + j * kLanes); }
  I32 load(int j, const int32_t* p) const {
    return (I32)_mm512_maskz_loadu_epi32(mask_[j], p + j * kLanes);
  }
  I32 load(int j, const uint8_t* p) const {
    return (I32)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask_[j], p + j * kLanes));
  }
  I32 load(int j, const int8_t* p) const {
    return (I32)_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask_[j], p + j * kLanes));
  }
  void store(int j, float* p, F32 v) const { _mm512_mask_storeu_ps(p + j * kLanes, mask_[j], v); }
  void store(int j, int32_t* p, I32 v) const {
    _mm512_mask_storeu_epi32(p + j * kLanes, mask_[j], (__m512i)v);
  }

  // Saturates the row's int32, plus the zero point if kShift, and keeps it within its bounds if
  // kBound.
  template <bool kShift, bool kBound>
  [[gnu::always_inline]] void store_bytes(uint8_t* p, const I32 (&q)[V], const Bytes& to) const {
    // The packs work within 128-bit lanes: dword 4 * lane + j goes to 4 * j + lane.
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512i low = _mm512_packs_epi32((__m512i)q[0], (__m512i)q[V > 1 ? 1 : 0]);
    __m512i high =
        V < 3 ? low : _mm512_packs_epi32((__m512i)q[V > 2 ? 2 : 0], (__m512i)q[V > 3 ? 3 : 0]);
    if (kShift) {
      const __m512i zeros = _mm512_set1_epi16(static_cast<int16_t>(to.zero));
      low = _mm512_adds_epi16(low, zeros);
      high = V < 3 ? low : _mm512_adds_epi16(high, zeros);
    }
    __m512i packed = to.is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    if (kBound) {
      const __m512i least = _mm512_set1_epi8(static_cast<char>(to.low));
      const __m512i most = _mm512_set1_epi8(static_cast<char>(to.high));
      packed = to.is_signed ? _mm512_min_epi8(_mm512_max_epi8(packed, least), most)
                            : _mm512_min_epu8(_mm512_max_epu8(packed, least), most);
    }
    _mm512_mask_storeu_epi8(p, bytes_, _mm512_permutexvar_epi32(order, packed));
  }

 private:
  __mmask64 bytes_;
  __mmask16 mask_[V];
};

}  // namespace
}  // namespace pycompress
