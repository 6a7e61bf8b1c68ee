// What conv/depthwise/interleave.inc.h asks of the sets that have no masks for bytes.
#pragma once
#include <immintrin.h>

#include "kernels.h"

namespace pycompress {
namespace {

inline __m256i load_bytes(const uint8_t* p, int64_t n) {
  if (n == 32) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  alignas(32) uint8_t bytes[32] = {};
  __builtin_memcpy(bytes, p, static_cast<size_t>(n));
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(bytes));
}

inline void store_bytes(uint8_t* p, __m256i v, int64_t n) {
  if (n == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  } else {
    alignas(32) uint8_t bytes[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), v);
    __builtin_memcpy(p, bytes, static_cast<size_t>(n));
  }
}

// Two pixels are more sums than there are registers: none go in pairs.
template <int kKernel, int kGroups, class Lane>
int64_t dot_pairs(const Lane&, const __m256i*, const __m256i*, int64_t, int64_t, int64_t) {
  return 0;
}

}  // namespace
}  // namespace pycompress
