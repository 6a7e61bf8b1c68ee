// Depthwise convolution in float32, over the names of a simd/ header.
//
// Windows of 3x3 and 5x5 (f32_slide.inc.h) keep the weights of a vector of channels in registers.
// The others go by
//
//   kPixels neighbouring pixels x 2 vectors of channels in registers; a weight is loaded once for
//   all pixels, and the pointers to a pixel group's taps once for all channels.
//
// A sum has the same order in both.
#pragma once
#include "conv/depthwise/f32_slide.inc.h"
#include "conv/depthwise/taps.inc.h"

namespace pycompress {
namespace {

// first: pixels of the lines before.
template <int64_t kCount, class Put>
void depthwise_pixels(const DepthwiseArgs& args, int64_t pixel, int64_t first, Put& put) {
  const uint8_t* taps[kMaxTaps * kCount];
  tap_pointers(args, pixel, kCount, sizeof(float), taps);
  const int64_t tap_count = args.kernel * args.row_count;
  const int64_t w_step = args.w_step;
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
      put(acc[i][0], first + pixel + i, c, kLanes);
      put(acc[i][1], first + pixel + i, c + kLanes, kLanes);
    }
  }
  for (; c < args.channels; c += kLanes) {
    const int64_t n = args.channels - c < kLanes ? args.channels - c : kLanes;
    F32 acc[kCount];
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) acc[i] = set1(0.0f);
    for (int64_t t = 0; t < tap_count; ++t) {
      // Padded to 16; of a part of the channels, what is read behind it belongs to the next ones.
      const F32 wt = load(w + t * w_step + c);
#pragma GCC unroll 4
      for (int64_t i = 0; i < kCount; ++i) {
        const F32 xt = n == kLanes ? load(x(t, i, c)) : load_partial(x(t, i, c), n);
        acc[i] = fma(xt, wt, acc[i]);
      }
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) put(acc[i], first + pixel + i, c, n);
  }
}

template <Store kStore>
void depthwise_stored(const DepthwiseArgs& args) {
  if (slide_f32<kStore>(args)) return;
  FloatStore<kStore> put(args);
  DepthwiseArgs line = args;
  for (int64_t i = 0; i < args.lines; ++i, line.rows += args.step) {
    const int64_t first = i * args.pixels;
    int64_t pixel = 0;
    for (; pixel + kPixels <= args.pixels; pixel += kPixels)
      depthwise_pixels<kPixels>(line, pixel, first, put);
    for (; pixel < args.pixels; ++pixel) depthwise_pixels<1>(line, pixel, first, put);
  }
  put.give_range(args.range);
}

void depthwise_f32(const DepthwiseArgs& args) {
  if (args.epilogue->out == Out::u8) return depthwise_stored<Store::bytes>(args);
  (args.range != nullptr ? depthwise_stored<Store::ranged> : depthwise_stored<Store::plain>)(args);
}

}  // namespace
}  // namespace pycompress
