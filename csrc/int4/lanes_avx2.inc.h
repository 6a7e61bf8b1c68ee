// What int4/tile.inc.h asks of the sets on ymm registers, and four values of A for all columns.
// The including file has included gemm/columns_avx2.h.
#pragma once
#include <immintrin.h>

namespace pycompress {
namespace {

[[gnu::always_inline]] inline int32_t largest_lane(I32 v) {
  __m128i m =
      _mm_max_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtsi128_si32(m);
}
[[gnu::always_inline]] inline int32_t sum_lanes(I32 v) {
  __m128i m =
      _mm_add_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  m = _mm_add_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_add_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtsi128_si32(m);
}

[[gnu::always_inline]] inline __m256i broadcast4(const char* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}

}  // namespace
}  // namespace pycompress
