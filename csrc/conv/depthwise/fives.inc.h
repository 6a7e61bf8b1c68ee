// 5x5 depthwise convolution in int8: two output lines by two pixels at a time.
//
//   Pass 1, as in columns.inc.h: the columns of 5 image rows are two groups of 4 bytes. Three of
//   these 8 are free: the rows of the next line, a step of 1 or 2 further down, have room there.
//
//     line 0   w0 w1 w2 w3 | w4 0  0  0
//     line 1   0  w0 w1 w2 | w3 w4 0  0     step 1: the same column, the weights moved on
//
//   Pass 2: a quad of a column is loaded once for both lines and for both pixels whose windows it
//   is in; the weights come from memory, 2 x 5 taps x 2 groups x 4 quads.
#pragma once
#include "conv/depthwise/slide.inc.h"

namespace pycompress {
namespace {

constexpr int kFive = 5;
using FiveWeights = __m256i[kFive][2][4];  // [tap][group][quad]

// Sums of kPixels pixels of kLines lines, from column `x` on.
template <int kStride, int kLines, int kPixels>
[[gnu::always_inline]] inline void five_pixels(const Lane32& lane, const ByteStore<Ymm>& put,
                                               const __m256i* x, const FiveWeights* w, uint8_t* y,
                                               int64_t ldy, int64_t line_step, int64_t n) {
  constexpr int kColumns = kFive + (kPixels - 1) * kStride;
  __m256i sums[kLines][kPixels][4];
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
#pragma GCC unroll 2
    for (int i = 0; i < kLines; ++i) {
#pragma GCC unroll 2
      for (int p = 0; p < kPixels; ++p) sums[i][p][q] = lane.init[q];
    }
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 2
      for (int g = 0; g < 2; ++g) {
        const __m256i quad = x[(j * 2 + g) * 4 + q];
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p) {
          const int tap = j - p * kStride;
          if (tap < 0 || tap >= kFive) continue;
#pragma GCC unroll 2
          for (int i = 0; i < kLines; ++i)
            sums[i][p][q] = dot(sums[i][p][q], &quad, &w[i][tap][g][q]);
        }
      }
    }
  }
#pragma GCC unroll 2
  for (int i = 0; i < kLines; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPixels; ++p) put(sums[i][p], y + i * line_step + p * ldy, n);
  }
}

// Lines first.. of a stack, kLines of them together as long as there are as many.
template <bool kFlip, int kStride, int kLines>
int64_t five_lines(const DepthwiseArgs& args, int64_t channel, int64_t first) {
  alignas(64) __m256i columns[kScratch / 32];
  const int64_t left = args.channels - channel;
  const Lane32 lane(args, channel, left < kBlock ? left : kBlock);
  const ByteStore<Ymm> put(args, channel, lane.n);
  const auto* weights = reinterpret_cast<const __m256i*>(static_cast<const uint8_t*>(args.w) +
                                                         channel * 4 * 2 * kFive);
  alignas(64) FiveWeights w[kLines];
  const __m128i up = _mm_cvtsi64_si128(8 * args.step);
  const __m128i down = _mm_cvtsi64_si128(32 - 8 * args.step);
  for (int k = 0; k < kFive; ++k) {
    for (int q = 0; q < 4; ++q) {
      const __m256i low = _mm256_loadu_si256(weights + (k * 2) * 4 + q);
      const __m256i high = _mm256_loadu_si256(weights + (k * 2 + 1) * 4 + q);
      w[0][k][0][q] = low;
      w[0][k][1][q] = high;
      if (kLines == 1) continue;
      w[kLines - 1][k][0][q] = _mm256_sll_epi32(low, up);
      w[kLines - 1][k][1][q] =
          _mm256_or_si256(_mm256_sll_epi32(high, up), _mm256_srl_epi32(low, down));
    }
  }
  DepthwiseArgs both = args;
  both.row_count += (kLines - 1) * args.step;
  constexpr int64_t kColumn = 2 * kColumnBytes;
  constexpr int64_t kRoom = (kScratch / kColumn - kFive) / kStride + 1;
  const int64_t line_step = args.pixels * args.ldy;
  for (; first + kLines <= args.lines; first += kLines) {
    both.rows = args.rows + first * args.step;
    uint8_t* y = static_cast<uint8_t*>(args.y) + first * line_step + channel;
    for (int64_t p = 0; p < args.pixels; p += kRoom) {
      const int64_t count = args.pixels - p < kRoom ? args.pixels - p : kRoom;
      interleave_columns<kFlip>(both, channel, lane.n, args.first + p * kStride, 1,
                                (count - 1) * kStride + kFive, columns);
      const __m256i* x = columns;
      int64_t i = 0;
      for (; i + 2 <= count; i += 2, x += 2 * kStride * 8, y += 2 * args.ldy)
        five_pixels<kStride, kLines, 2>(lane, put, x, w, y, args.ldy, line_step, lane.n);
      for (; i < count; ++i, x += kStride * 8, y += args.ldy)
        five_pixels<kStride, kLines, 1>(lane, put, x, w, y, args.ldy, line_step, lane.n);
    }
  }
  return first;
}

template <bool kFlip, int kStride>
void five_blocks(const DepthwiseArgs& args) {
  const bool pairs = args.step == 1 || args.step == 2;
  for (int64_t c = 0; c < args.channels; c += kBlock) {
    const int64_t done = pairs ? five_lines<kFlip, kStride, 2>(args, c, 0) : 0;
    if (done < args.lines) five_lines<kFlip, kStride, 1>(args, c, done);
  }
}

// Whether it was done here.
template <bool kFlip>
bool fives(const DepthwiseArgs& args) {
  const bool square = args.kernel == kFive && args.row_count == kFive && args.dilation == 1;
  if (!square || args.stride > 2 || !only_bytes(args)) return false;
  (args.stride == 1 ? five_blocks<kFlip, 1> : five_blocks<kFlip, 2>)(args);
  return true;
}

}  // namespace
}  // namespace pycompress
