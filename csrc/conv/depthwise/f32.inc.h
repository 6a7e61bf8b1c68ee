// Depthwise convolution in float32, over the names of a simd/ header.
//
//   kPixels neighbouring pixels x 2 vectors of channels in registers; a weight is loaded once for
//   all pixels, and the pointers to a pixel group's taps once for all channels.
#pragma once
#include "conv/depthwise/taps.inc.h"

namespace pycompress {
namespace {

constexpr int64_t kPixels = 4;

struct FloatStore {
  const Epilogue& epilogue;
  const DepthwiseArgs& args;

  // Channels c.. of pixel p; n < kLanes only at the end of the channels.
  void operator()(F32 v, int64_t p, int64_t c, int64_t n) const {
    const auto get = [n](const float* x) { return n == kLanes ? load(x) : load_partial(x, n); };
    if (epilogue.scale != nullptr) v = mul(v, get(epilogue.scale + c));
    if (epilogue.bias != nullptr) v = add(v, get(epilogue.bias + c));
    if (epilogue.residual != nullptr) {
      const auto* residual = static_cast<const float*>(epilogue.residual);
      v = add(v, get(residual + (args.row + p) * epilogue.residual_ld + c));
    }
    v = min(set1(epilogue.hi), max(set1(epilogue.lo), v));  // NaN stays
    float* y = static_cast<float*>(args.y) + p * args.ldy + c;
    if (n == kLanes) {
      store(y, v);
    } else {
      store_partial(y, n, v);
    }
  }
};

template <int64_t kCount>
void depthwise_pixels(const DepthwiseArgs& args, int64_t pixel, const FloatStore& put) {
  const uint8_t* taps[kMaxTaps * kCount];
  tap_pointers(args, pixel, kCount, sizeof(float), taps);
  const int64_t tap_count = args.kernel * args.row_count;
  const int64_t w_step = (args.channels + 15) / 16 * 16;
  const auto* w = static_cast<const float*>(args.w);
  const auto x = [&taps](int64_t t, int64_t i, int64_t c) {
    return reinterpret_cast<const float*>(taps[t * kCount + i]) + c;
  };
  int64_t c = 0;
  for (; c + 2 * kLanes <= args.channels; c += 2 * kLanes) {
    F32 acc[kCount][2];
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) acc[i][0] = acc[i][1] = set1(0.0f);
    for (int64_t t = 0; t < tap_count; ++t) {
      const F32 w0 = load(w + t * w_step + c);
      const F32 w1 = load(w + t * w_step + c + kLanes);
#pragma GCC unroll 4
      for (int64_t i = 0; i < kCount; ++i) {
        acc[i][0] = fma(load(x(t, i, c)), w0, acc[i][0]);
        acc[i][1] = fma(load(x(t, i, c + kLanes)), w1, acc[i][1]);
      }
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) {
      put(acc[i][0], pixel + i, c, kLanes);
      put(acc[i][1], pixel + i, c + kLanes, kLanes);
    }
  }
  for (; c < args.channels; c += kLanes) {
    const int64_t n = args.channels - c < kLanes ? args.channels - c : kLanes;
    F32 acc[kCount];
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) acc[i] = set1(0.0f);
    for (int64_t t = 0; t < tap_count; ++t) {
      const F32 wt = load(w + t * w_step + c);  // padded to 16: never beyond its end
#pragma GCC unroll 4
      for (int64_t i = 0; i < kCount; ++i) {
        const F32 xt = n == kLanes ? load(x(t, i, c)) : load_partial(x(t, i, c), n);
        acc[i] = fma(xt, wt, acc[i]);
      }
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) put(acc[i], pixel + i, c, n);
  }
}

void depthwise_f32(const DepthwiseArgs& args) {
  const FloatStore put{*args.epilogue, args};
  int64_t pixel = 0;
  for (; pixel + kPixels <= args.pixels; pixel += kPixels) {
    depthwise_pixels<kPixels>(args, pixel, put);
  }
  for (; pixel < args.pixels; ++pixel) depthwise_pixels<1>(args, pixel, put);
}

}  // namespace
}  // namespace pycompress
