// Depthwise convolution in portable C++: 16 channels at a time, tap by tap.
#include "simd/scalar.h"

#include "conv/depthwise/f32.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int kBlock = 16;

void finish(const DepthwiseArgs& args, const int32_t* acc, int64_t pixel, int64_t channel,
            int64_t n) {
  const Epilogue& e = *args.epilogue;
  const int64_t at = pixel * args.ldy + channel;
  const int64_t residual = (args.row + pixel) * e.residual_ld + channel;
  for (int64_t c = 0; c < n; ++c) {
    const int32_t sum = acc[c] + (e.init == nullptr ? 0 : e.init[channel + c]);
    if (e.out == Out::s32) {
      static_cast<int32_t*>(args.y)[at + c] = sum;
      continue;
    }
    auto v = static_cast<float>(sum);
    if (e.scale != nullptr) v *= e.scale[channel + c];
    if (e.bias != nullptr) v += e.bias[channel + c];
    if (e.residual != nullptr) {
      if (e.out == Out::f32) {
        v += static_cast<const float*>(e.residual)[residual + c];
      } else {
        const int32_t q = e.out == Out::u8 ? static_cast<const uint8_t*>(e.residual)[residual + c]
                                           : static_cast<const int8_t*>(e.residual)[residual + c];
        v += static_cast<float>(q - e.residual_zero) * e.residual_scale;
      }
    }
    if (e.out == Out::f32) {  // NaN stays
      v = v < e.lo ? e.lo : v;
      static_cast<float*>(args.y)[at + c] = v > e.hi ? e.hi : v;
      continue;
    }
    v = v > e.lo ? v : e.lo;
    v = v < e.hi ? v : e.hi;
    const float bounded = v < -1024.0f ? -1024.0f : v > 1024.0f ? 1024.0f : v;
    const I32 q{to_i32(F32{bounded}).v + e.out_zero};
    if (e.out == Out::u8) {
      store_sat(static_cast<uint8_t*>(args.y) + at + c, q);
    } else {
      store_sat(static_cast<int8_t*>(args.y) + at + c, q);
    }
  }
}

template <bool kSigned>
void depthwise_int8(const DepthwiseArgs& args) {
  const int64_t tap_count = args.kernel * args.row_count;
  const uint8_t* taps[kMaxTaps];
  for (int64_t pixel = 0; pixel < args.pixels; ++pixel) {
    tap_pointers(args, pixel, 1, 1, taps);
    for (int64_t channel = 0; channel < args.channels; channel += kBlock) {
      const int64_t n = args.channels - channel < kBlock ? args.channels - channel : kBlock;
      const int8_t* w = static_cast<const int8_t*>(args.w) + channel * tap_count;
      int32_t acc[kBlock] = {};
      for (int64_t t = 0; t < tap_count; ++t, w += kBlock) {
        for (int64_t c = 0; c < n; ++c) {
          const uint8_t byte = taps[t][channel + c];
          acc[c] += (kSigned ? byte ^ 0x80 : byte) * w[c];
        }
      }
      finish(args, acc, pixel, channel, n);
    }
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_scalar;
const DepthwiseKernels depthwise_scalar = {kBlock, 1, depthwise_int8<false>, depthwise_int8<true>,
                                           depthwise_f32};

}  // namespace pycompress
