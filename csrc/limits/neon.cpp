// Ceilings of Advanced SIMD without the dot product extension.
//
//   int8: 12 chains + 2 operands + products = 15 of 32 registers; smull, smlal2 and sadalp make 16
//   products of bytes (in 16 bits, which one pair of weights in [-127, 127] fits).
#include <arm_neon.h>

#include "limits/limits.h"
#include "limits/shared_neon.inc.h"

namespace pycompress {
namespace {

constexpr int kChains = 12;

void peak_s8_neon(int64_t passes) {
  int32x4_t acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = vdupq_n_s32(0);
    asm volatile("" : "+w"(acc[i]));  // chains that the compiler cannot find equal
  }
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-5);
  asm volatile("" : "+w"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      asm volatile("" : "+w"(a));  // "changed": the products are made anew each time
      const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
      acc[i] = vpadalq_s16(acc[i], vmlal_high_s8(low, a, b));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+w"(acc[i]));
}

}  // namespace

extern const LimitLoops limits_neon;
const LimitLoops limits_neon = {
    {{"int8", "smull + smlal2 + sadalp", kChains * 16 * 2, peak_s8_neon}, kPeakF32},
    kTraffic,
};

}  // namespace pycompress
