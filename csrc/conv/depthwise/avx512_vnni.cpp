// Depthwise convolution for AVX-512: int8 by VPDPBUSD on ymm, of which Zen 4 issues two per cycle
// where it issues one on zmm, and which waste less when a layer has 16, 24 or 96 channels.
#include <immintrin.h>

#include "kernels.h"
#include "simd/avx512.h"

namespace pycompress {
namespace {

constexpr int kParts = 1;
struct WeightBuffer {};

inline void split(__m256i quad, __m256i* out) { *out = quad; }

inline const __m256i* widen_weights(const uint8_t* w, int64_t, WeightBuffer&) {
  return reinterpret_cast<const __m256i*>(w);
}

inline __m256i dot(__m256i acc, const __m256i* x, const __m256i* w) {
  return _mm256_dpbusd_epi32(acc, *x, *w);
}

inline __m256i load_bytes(const uint8_t* p, int64_t n) {
  if (n == 32) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm256_maskz_loadu_epi8((1u << n) - 1, p);
}

inline void store_bytes(uint8_t* p, __m256i v, int64_t n) {
  if (n == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  } else {
    _mm256_mask_storeu_epi8(p, (1u << n) - 1, v);
  }
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/interleave.inc.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx512_vnni;
const DepthwiseKernels depthwise_avx512_vnni = {kBlock, 4, depthwise_int8<false>,
                                                depthwise_int8<true>, depthwise_f32};

}  // namespace pycompress
