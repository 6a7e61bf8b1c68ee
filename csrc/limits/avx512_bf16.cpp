// The ceiling of bfloat16 products, beside those of avx512_vnni.
//
//   16 chains of sums + 2 operands = 18 of 32 zmm registers; vdpbf16ps makes 32 products.
#include <immintrin.h>

#include "limits/limits.h"

namespace pycompress {
namespace {

constexpr int kChains = 16;

void peak_bf16_avx512_bf16(int64_t passes) {
  __m512 acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = _mm512_setzero_ps();
    asm volatile("" : "+v"(acc[i]));  // chains that the compiler cannot find equal
  }
  __m512i a = _mm512_set1_epi16(0x3f00), b = _mm512_set1_epi16(0x3fc0);  // 0.5 and 1.5
  asm volatile("" : "+v"(a), "+v"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)a, (__m512bh)b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+v"(acc[i]));
}

}  // namespace

extern const LimitLoops limits_avx512_bf16;
const LimitLoops limits_avx512_bf16 = {
    {{"bf16", "vdpbf16ps zmm", kChains * 32 * 2, peak_bf16_avx512_bf16}}, {}};

}  // namespace pycompress
