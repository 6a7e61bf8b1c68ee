// Bytes into the panels of the tiles for the matrix product extension (pack/neon.inc.h).
#include "pack/neon.inc.h"

namespace pycompress {
namespace {

// A vector has 8 bytes of each of 2 columns, whose sum is in two parts until the end.
struct Sum {
  int32x4_t parts;

  [[gnu::always_inline]] void add(int8x16_t bytes) {
    parts = vdotq_s32(parts, bytes, vdupq_n_s8(1));
  }
  [[gnu::always_inline]] void add_to(uint32_t* sums) const {
    const int32x2_t sum = vpadd_s32(vget_low_s32(parts), vget_high_s32(parts));
    vst1_u32(sums, vadd_u32(vld1_u32(sums), vreinterpret_u32_s32(sum)));
  }
};

}  // namespace

extern const PackKernel pack_neon_i8mm;
const PackKernel pack_neon_i8mm = {16, 8, pack_panels<8, Sum>};

}  // namespace pycompress
