// Ceilings of AVX2.
//
//   int8: 8 chains + 2 operands + ones + products = 15 of 16 ymm registers; vpmaddubsw, vpmaddwd
//   and vpaddd make 32 products of bytes.
#include <immintrin.h>

#include "limits/limits.h"
#include "limits/shared_avx2.inc.h"

namespace pycompress {
namespace {

constexpr int kChains = 8;

void peak_s8_avx2(int64_t passes) {
  __m256i acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = _mm256_setzero_si256();
    asm volatile("" : "+x"(acc[i]));  // chains that the compiler cannot find equal
  }
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
  asm volatile("" : "+x"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      asm volatile("" : "+x"(a));  // "changed": the product is made anew each time
      const __m256i pairs = _mm256_maddubs_epi16(a, b);
      acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(pairs, ones));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+x"(acc[i]));
}

}  // namespace

extern const LimitLoops limits_avx2;
const LimitLoops limits_avx2 = {
    {{"int8", "vpmaddubsw + vpmaddwd + vpaddd ymm", kChains * 32 * 2, peak_s8_avx2}, kPeakF32},
    kTraffic,
};

}  // namespace pycompress
