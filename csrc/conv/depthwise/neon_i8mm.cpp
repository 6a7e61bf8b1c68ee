// Depthwise convolution for the matrix product extension (i8mm), which has a dot product of
// unsigned by signed bytes: int8 by usdot, of four image rows at a time.
#include <arm_neon.h>

#include "kernels.h"
#include "simd/neon.h"

namespace pycompress {
namespace {

inline int32x4_t dot(int32x4_t acc, const uint8x16_t* x, const uint8x16_t* w) {
  return vusdotq_s32(acc, *x, vreinterpretq_s8_u8(*w));
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/quads_neon.inc.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_neon_i8mm;
const DepthwiseKernels depthwise_neon_i8mm = {kBlock, 4, depthwise_int8<false>,
                                              depthwise_int8<true>, depthwise_f32};

}  // namespace pycompress
