// Depthwise convolution for AVX2: int8 by VPMADDWD on the even and the odd bytes of each quad,
// widened to 16 bits, which is exact.
#include "simd/avx2.h"

#include <immintrin.h>

#include "kernels.h"

namespace pycompress {
namespace {

constexpr int kParts = 2;
struct WeightBuffer {
  __m256i w[kDepthwiseSteps * 4 * kParts];
};

inline void split(__m256i quad, __m256i* out) {
  out[0] = _mm256_and_si256(quad, _mm256_set1_epi16(0xff));
  out[1] = _mm256_srli_epi16(quad, 8);
}

inline const __m256i* widen_weights(const uint8_t* w, int64_t steps, WeightBuffer& buffer) {
  for (int64_t i = 0; i < steps * 4; ++i) {
    const __m256i quad = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * i));
    buffer.w[2 * i] = _mm256_srai_epi16(_mm256_slli_epi16(quad, 8), 8);
    buffer.w[2 * i + 1] = _mm256_srai_epi16(quad, 8);
  }
  return buffer.w;
}

inline __m256i dot(__m256i acc, const __m256i* x, const __m256i* w) {
  const __m256i even = _mm256_madd_epi16(x[0], w[0]);
  return _mm256_add_epi32(acc, _mm256_add_epi32(even, _mm256_madd_epi16(x[1], w[1])));
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/bytes_avx2.inc.h"
#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/interleave.inc.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx2;
const DepthwiseKernels depthwise_avx2 = {
    kBlock, 4, depthwise_int8<false>, depthwise_int8<true>, depthwise_f32, false, false, true};

}  // namespace pycompress
