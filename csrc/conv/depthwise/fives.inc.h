// 5x5 depthwise convolution in int8: two output lines by two pixels at a time.
//
//   Pass 1, as in columns.inc.h: the columns of 5 image rows are two groups of 4 bytes. Three of
//   these 8 are free: the rows of the next line, a step of 1 or 2 further down, have room there.
//
//     line 0   w0 w1 w2 w3 | w4 0  0  0
//     line 1   0  w0 w1 w2 | w3 w4 0  0     step 1: the same column, the weights moved on
//
//   Pass 2, for each quad: the 2 x 5 taps x 2 groups of its weights stay in registers, and a quad
//   of a column is loaded once for both lines and for both pixels whose windows it is in.
//
//   Pass 3: the four quads of a pixel's sums become its bytes.
#pragma once
#include "conv/depthwise/slide.inc.h"

namespace pycompress {
namespace {

constexpr int kFive = 5;
constexpr int64_t kFiveColumns = 32;  // that are interleaved at a time: they and their sums fit L1

template <class V, int kLines>
using FiveWeights = typename V::Int[kLines][kFive][2];  // [line][tap][group], of a quad

// A quad's sums of kPixels pixels of kLines lines, from column `x` on.
template <class V, int kStride, int kLines, int kPixels>
[[gnu::always_inline]] inline void five_sums(const typename V::Int* x,
                                             const FiveWeights<V, kLines>& w, typename V::Int init,
                                             typename V::Int* sums, int64_t line_step) {
  constexpr int kColumns = kFive + (kPixels - 1) * kStride;
  typename V::Int acc[kLines][kPixels];
#pragma GCC unroll 2
  for (int i = 0; i < kLines; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) acc[i][p] = init;
  }
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      const auto quad = x[(j * 2 + g) * 4];
#pragma GCC unroll 2
      for (int p = 0; p < kPixels; ++p) {
        const int tap = j - p * kStride;
        if (tap < 0 || tap >= kFive) continue;
#pragma GCC unroll 2
        for (int i = 0; i < kLines; ++i) acc[i][p] = V::dot(acc[i][p], quad, w[i][tap][g]);
      }
    }
  }
#pragma GCC unroll 2
  for (int i = 0; i < kLines; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) sums[i * line_step + p * 4] = acc[i][p];
  }
}

// Quad q of the sums of `count` pixels of kLines lines.
template <class V, int kStride, int kLines>
[[gnu::noinline]] void five_quad(const DepthwiseArgs& args, int64_t channel, int q,
                                 typename V::Int init, const typename V::Int* x, int64_t count,
                                 typename V::Int* sums) {
  FiveWeights<V, kLines> w;
  const __m128i up = _mm_cvtsi64_si128(8 * args.step);
  const __m128i down = _mm_cvtsi64_si128(32 - 8 * args.step);
#pragma GCC unroll 5
  for (int k = 0; k < kFive; ++k) {
    const auto low = block_weights<V>(args, channel, 8 * kFive, (k * 2) * 4 + q);
    const auto high = block_weights<V>(args, channel, 8 * kFive, (k * 2 + 1) * 4 + q);
    w[0][k][0] = low;
    w[0][k][1] = high;
    if (kLines == 1) continue;
    w[kLines - 1][k][0] = V::up(low, up);
    w[kLines - 1][k][1] = V::either(V::up(high, up), V::down(low, down));
  }
  const int64_t line_step = count * 4;
  int64_t i = 0;
  for (; i + 2 <= count; i += 2, x += 2 * kStride * 8, sums += 8)
    five_sums<V, kStride, kLines, 2>(x, w, init, sums, line_step);
  if (i < count) five_sums<V, kStride, kLines, 1>(x, w, init, sums, line_step);
}

template <class V, bool kClamp, class Store>
void store_pixels(const Store& put, const typename V::Int* sums, int64_t count, uint8_t* y,
                  int64_t ldy, int64_t n) {
  const Store held = put;
  for (int64_t i = 0; i < count; ++i, sums += 4, y += ldy) {
    const typename V::Int quads[4] = {sums[0], sums[1], sums[2], sums[3]};
    held.template store<kClamp>(quads, y, n);
  }
}

// Lines first.. of a stack, kLines of them together as long as there are as many.
template <class V, class Store, bool kFlip, int kStride, int kLines>
int64_t five_lines(const DepthwiseArgs& args, int64_t channel, int64_t first) {
  using Int = typename V::Int;
  constexpr int64_t kRoom = (kFiveColumns - kFive) / kStride + 1;  // pixels
  alignas(64) Int columns[kFiveColumns * 8];
  alignas(64) Int sums[kLines * kRoom * 4];
  const int64_t left = args.channels - channel;
  const int64_t n = left < V::kChannels ? left : V::kChannels;
  const Store put(args, channel, n < kBlock ? n : kBlock);
  DepthwiseArgs both = args;
  both.row_count += (kLines - 1) * args.step;
  const int64_t ldy = args.ldy * Store::kBytes;
  const int64_t line_step = args.pixels * ldy;
  for (; first + kLines <= args.lines; first += kLines) {
    both.rows = args.rows + first * args.step;
    uint8_t* y = static_cast<uint8_t*>(args.y) + first * line_step + channel * Store::kBytes;
    for (int64_t p = 0; p < args.pixels; p += kRoom) {
      const int64_t count = args.pixels - p < kRoom ? args.pixels - p : kRoom;
      interleave_columns<kFlip>(both, channel, n, args.first + p * kStride, 1,
                                (count - 1) * kStride + kFive, columns);
      for (int q = 0; q < 4; ++q) {
        five_quad<V, kStride, kLines>(args, channel, q, put.init[q], columns + q, count, sums + q);
      }
      for (int line = 0; line < kLines; ++line) {
        const Int* from = sums + line * count * 4;
        uint8_t* to = y + line * line_step;
        (put.saturates ? store_pixels<V, false, Store>
                       : store_pixels<V, true, Store>)(put, from, count, to, ldy, n);
      }
      y += count * ldy;
    }
  }
  return first;
}

template <class V, class Store, bool kFlip, int kStride>
void five_block(const DepthwiseArgs& args, int64_t channel) {
  const bool pairs = args.step == 1 || args.step == 2;
  const int64_t done = pairs ? five_lines<V, Store, kFlip, kStride, 2>(args, channel, 0) : 0;
  if (done < args.lines) five_lines<V, Store, kFlip, kStride, 1>(args, channel, done);
}

template <class V, bool kFlip, int kStride>
void five_block(const DepthwiseArgs& args, int64_t channel) {
  (args.epilogue->out == Out::f32 ? five_block<V, SumStore<V>, kFlip, kStride>
                                  : five_block<V, ByteStore<V>, kFlip, kStride>)(args, channel);
}

template <bool kFlip, int kStride>
void five_blocks(const DepthwiseArgs& args) {
  int64_t c = 0;
  for (; c + Zmm::kChannels <= args.channels; c += Zmm::kChannels)
    five_block<Zmm, kFlip, kStride>(args, c);
  for (; c < args.channels; c += Ymm::kChannels) five_block<Ymm, kFlip, kStride>(args, c);
}

// Whether it was done here.
template <bool kFlip>
bool fives(const DepthwiseArgs& args) {
  const bool square = args.kernel == kFive && args.row_count == kFive && args.dilation == 1;
  if (!square || args.stride > 2 || !is_plain(args)) return false;
  (args.stride == 1 ? five_blocks<kFlip, 1> : five_blocks<kFlip, 2>)(args);
  return true;
}

}  // namespace
}  // namespace pycompress
