// Depthwise convolution for AVX-VNNI: int8 by VPDPBUSD on ymm registers.
#include <immintrin.h>

#include "kernels.h"
#include "simd/avx2.h"

namespace pycompress {
namespace {

constexpr int kParts = 1;
struct WeightBuffer {};

inline void split(__m256i quad, __m256i* out) { *out = quad; }

inline const __m256i* widen_weights(const uint8_t* w, int64_t, WeightBuffer&) {
  return reinterpret_cast<const __m256i*>(w);
}

inline __m256i dot(__m256i acc, const __m256i* x, const __m256i* w) {
  return _mm256_dpbusd_avx_epi32(acc, *x, _mm256_loadu_si256(w));
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/bytes_avx2.inc.h"
#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/interleave.inc.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx_vnni;
const DepthwiseKernels depthwise_avx_vnni = {
    kBlock, 4, depthwise_int8<false>, depthwise_int8<true>, depthwise_f32, false, false, true};

}  // namespace pycompress
