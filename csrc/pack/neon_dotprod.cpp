// Bytes into the panels of the tiles for the dot product extension (pack/neon.inc.h).
#include "pack/neon.inc.h"

namespace pycompress {
namespace {

// A vector has 4 bytes of each of 4 columns.
struct Sum {
  int32x4_t sum;

  [[gnu::always_inline]] void add(int8x16_t bytes) { sum = vdotq_s32(sum, bytes, vdupq_n_s8(1)); }
  [[gnu::always_inline]] void add_to(uint32_t* sums) const {
    vst1q_u32(sums, vaddq_u32(vld1q_u32(sums), vreinterpretq_u32_s32(sum)));
  }
};

}  // namespace

extern const PackKernel pack_neon_dotprod;
const PackKernel pack_neon_dotprod = {16, 4, pack_panels<4, Sum>};

}  // namespace pycompress
