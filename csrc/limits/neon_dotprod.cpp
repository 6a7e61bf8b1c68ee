// Ceilings of the dot product extension.
//
//   16 chains of sums + 2 operands = 18 of 32 registers. Four sdot of 3 cycles start in each cycle
//   at the best CPUs, so that 12 chains would do.
#include <arm_neon.h>

#include "limits/limits.h"
#include "limits/shared_neon.inc.h"

namespace pycompress {
namespace {

constexpr int kChains = 16;

void peak_s8_neon_dotprod(int64_t passes) {
  int32x4_t acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = vdupq_n_s32(0);
    asm volatile("" : "+w"(acc[i]));  // chains that the compiler cannot find equal
  }
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
  asm volatile("" : "+w"(a), "+w"(b));  // unknown to the compiler: nothing can be folded
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = vdotq_s32(acc[i], a, b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+w"(acc[i]));
}

}  // namespace

extern const LimitLoops limits_neon_dotprod;
const LimitLoops limits_neon_dotprod = {
    {{"int8", "sdot 4s", kChains * 16 * 2, peak_s8_neon_dotprod}, kPeakF32},
    kTraffic,
};

}  // namespace pycompress
