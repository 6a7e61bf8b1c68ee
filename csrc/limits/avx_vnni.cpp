// Ceilings of AVX-VNNI.
//
//   12 chains of sums + 2 operands = 14 of 16 ymm registers. Two vpdpbusd of 5 cycles start in each
//   cycle at the best CPUs, so that 10 chains would do.
#include <immintrin.h>

#include "limits/limits.h"
#include "limits/shared_avx2.inc.h"

namespace pycompress {
namespace {

constexpr int kChains = 12;

void peak_s8_avx_vnni(int64_t passes) {
  __m256i acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = _mm256_setzero_si256();
    asm volatile("" : "+x"(acc[i]));  // chains that the compiler cannot find equal
  }
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
  asm volatile("" : "+x"(a), "+x"(b));  // unknown to the compiler: nothing can be folded
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm256_dpbusd_avx_epi32(acc[i], a, b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+x"(acc[i]));
}

}  // namespace

extern const LimitLoops limits_avx_vnni;
const LimitLoops limits_avx_vnni = {
    {{"int8", "vpdpbusd ymm", kChains * 32 * 2, peak_s8_avx_vnni}, kPeakF32},
    kTraffic,
};

}  // namespace pycompress
