// Depthwise convolution for Advanced SIMD: int8 widened to 16 bits, multiplied and added into 32,
// 16 channels at a time.
#include "simd/neon.h"

#include <arm_neon.h>

#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/lane_neon.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

// One tap of 16 channels.
template <bool kSigned>
inline void add_tap(uint8x16_t x, const int8_t* w, int32x4_t* acc) {
  if (kSigned) x = veorq_u8(x, vdupq_n_u8(0x80));
  const int8x16_t b = vld1q_s8(w);
  const int16x8_t x0 = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(x)));
  const int16x8_t x1 = vreinterpretq_s16_u16(vmovl_high_u8(x));
  const int16x8_t w0 = vmovl_s8(vget_low_s8(b));
  const int16x8_t w1 = vmovl_high_s8(b);
  acc[0] = vmlal_s16(acc[0], vget_low_s16(x0), vget_low_s16(w0));
  acc[1] = vmlal_high_s16(acc[1], x0, w0);
  acc[2] = vmlal_s16(acc[2], vget_low_s16(x1), vget_low_s16(w1));
  acc[3] = vmlal_high_s16(acc[3], x1, w1);
}

template <bool kSigned>
void depthwise_int8(const DepthwiseArgs& args) {
  const Out out = args.epilogue->out;
  const int64_t tap_count = args.kernel * args.row_count;
  const uint8_t* taps[kMaxTaps];
  for (int64_t pixel = 0; pixel < args.pixels; ++pixel) {
    tap_pointers(args, pixel, 1, 1, taps);
    for (int64_t channel = 0; channel < args.channels; channel += kBlock) {
      const int64_t n = args.channels - channel < kBlock ? args.channels - channel : kBlock;
      const int8_t* w = static_cast<const int8_t*>(args.w) + channel * tap_count;
      const Lane lane(args, channel, n);
      int32x4_t acc[4] = {lane.init[0], lane.init[1], lane.init[2], lane.init[3]};
      if (n == kBlock) {
        for (int64_t t = 0; t < tap_count; ++t, w += kBlock)
          add_tap<kSigned>(vld1q_u8(taps[t] + channel), w, acc);
      } else {
        for (int64_t t = 0; t < tap_count; ++t, w += kBlock)
          add_tap<kSigned>(load_bytes(taps[t] + channel, n), w, acc);
      }
      if (out == Out::s32) {
        lane.store_quads(acc, pixel);
      } else if (out == Out::f32) {
        lane.store_f32(acc, pixel);
      } else {
        lane.store_q8(acc, pixel);
      }
    }
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_neon;
const DepthwiseKernels depthwise_neon = {kBlock, 1, depthwise_int8<false>, depthwise_int8<true>,
                                         depthwise_f32};

}  // namespace pycompress
