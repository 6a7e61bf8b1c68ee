// Bytes into the panels of the tiles of plain NEON (pack/neon.inc.h).
#include "pack/neon.inc.h"

namespace pycompress {
namespace {

// A vector has a byte of each of 16 columns. 256 of them do not leave 16 bits.
struct Sum {
  int16x8_t low, high;

  [[gnu::always_inline]] void add(int8x16_t bytes) {
    low = vaddw_s8(low, vget_low_s8(bytes));
    high = vaddw_high_s8(high, bytes);
  }
  [[gnu::always_inline]] void add_to(uint32_t* sums) const {
    const int16x4_t of_four[4] = {vget_low_s16(low), vget_high_s16(low), vget_low_s16(high),
                                  vget_high_s16(high)};
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {
      const int32x4_t before = vreinterpretq_s32_u32(vld1q_u32(sums + 4 * i));
      vst1q_u32(sums + 4 * i, vreinterpretq_u32_s32(vaddw_s16(before, of_four[i])));
    }
  }
};

}  // namespace

extern const PackKernel pack_neon;
const PackKernel pack_neon = {16, 1, pack_panels<1, Sum>};

}  // namespace pycompress
