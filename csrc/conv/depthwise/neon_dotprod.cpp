// Depthwise convolution for the dot product extension: int8 by sdot, of four image rows at a time.
#include <arm_neon.h>

#include "kernels.h"
#include "simd/neon.h"

namespace pycompress {
namespace {

// sdot multiplies signed by signed, hence a_signed in the table.
inline int32x4_t dot(int32x4_t acc, const uint8x16_t* x, const uint8x16_t* w) {
  return vdotq_s32(acc, vreinterpretq_s8_u8(*x), vreinterpretq_s8_u8(*w));
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/quads_neon.inc.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_neon_dotprod;
const DepthwiseKernels depthwise_neon_dotprod = {
    kBlock, 4, depthwise_int8<true>, depthwise_int8<false>, depthwise_f32, false, true};

}  // namespace pycompress
