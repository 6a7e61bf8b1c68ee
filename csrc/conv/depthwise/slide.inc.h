// 3x3 depthwise convolution in int8, one pass: a window's columns stay in registers while it moves
// to the right. interleave() makes a column of 4 quads.
//
//                 a       b       c       d        columns of up to 4 image rows, interleaved
//   pixel 0       w[0]    w[1]    w[2]
//   pixel 1               w[0]    w[1]    w[2]     stride 1: then a, b = c, d
//
//   pixel 0       w[0]    w[1]    w[2]             stride 2: then a = c
//
// Two output lines of stride 1 read 4 image rows, as many as a dot product takes: with the weights
// moved on by one byte, the second line reads the columns that the first one has made.
#pragma once
#include "conv/depthwise/interleave.inc.h"

namespace pycompress {
namespace {

// The epilogue of 32 channels without a residual, kept in registers from pixel to pixel.
struct ByteStore {
  const Lane32& lane;
  bool has_bias, is_unsigned;
  __m256 lo, hi;
  __m256i zero;
  __m256 scale[4];

  explicit ByteStore(const Lane32& of)
      : lane(of),
        has_bias(of.has_bias),
        is_unsigned(of.epilogue.out == Out::u8),
        lo(of.lo),
        hi(of.hi),
        zero(of.zero) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) scale[q] = of.scale[q];
  }

  [[gnu::always_inline]] void operator()(const __m256i (&sums)[4], uint8_t* y, int64_t n) const {
    __m256 v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) v[q] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[q]), scale[q]);
    if (has_bias) {
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) v[q] = _mm256_add_ps(v[q], lane.bias[q]);
    }
    __m256i i[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q)
      i[q] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[q], lo), hi));
    const __m256i low = _mm256_add_epi16(_mm256_packs_epi32(i[0], i[1]), zero);
    const __m256i high = _mm256_add_epi16(_mm256_packs_epi32(i[2], i[3]), zero);
    store_bytes(y, is_unsigned ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high), n);
  }
};

template <bool kFlip, bool kFull, int kStride, int kLines>
void slide_block(const DepthwiseArgs& args, int64_t channel) {
  const int64_t left = args.channels - channel;
  const Lane32 lane(args, channel, left < kBlock ? left : kBlock);
  const int64_t n = kFull ? kBlock : lane.n;
  const uint8_t* const padding = static_cast<const uint8_t*>(args.padding) + channel;
  alignas(64) __m256i w[kLines][12];
  const auto* weights =
      reinterpret_cast<const __m256i*>(static_cast<const uint8_t*>(args.w) + channel * 4 * 3);
  for (int i = 0; i < 12; ++i) {
    w[0][i] = _mm256_loadu_si256(weights + i);
    if (kLines == 2) w[kLines - 1][i] = _mm256_slli_epi32(w[0][i], 8);
  }
  const ByteStore put(lane);
  const int64_t ldy = args.ldy;
  const int64_t line_step = args.pixels * ldy;
  uint8_t* y = static_cast<uint8_t*>(args.y) + channel;
  for (int64_t first = 0; first + kLines <= args.lines; first += kLines) {
    // Columns of up to 4 image rows, one after the other. Addresses are numbers: a column may lie
    // outside, where padding is read instead.
    uintptr_t at[4];
    uintptr_t pitch[4];
    for (int i = 0; i < 4; ++i) {
      const int r = i < args.row_count + kLines - 1 ? i : 0;  // its weight is zero
      const void* row = args.rows[first * args.step + r];
      pitch[i] = row == nullptr ? 0 : static_cast<uintptr_t>(args.channels);
      at[i] = row == nullptr ? reinterpret_cast<uintptr_t>(padding)
                             : reinterpret_cast<uintptr_t>(row) + static_cast<uintptr_t>(channel) +
                                   static_cast<uintptr_t>(args.first) * pitch[i];
    }
    auto column = static_cast<uint64_t>(args.first);
    const auto next = [&](__m256i(&out)[4]) __attribute__((always_inline)) {
      const bool inside = column++ < static_cast<uint64_t>(args.width);
      const uint8_t* from[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        from[i] = inside ? reinterpret_cast<const uint8_t*>(at[i]) : padding;
        at[i] += pitch[i];
      }
      interleave<kFlip>(from, n, out);
    };
    __m256i a[4];
    __m256i b[4];
    __m256i c[4];
    next(a);
    if (kStride == 1) next(b);
    for (int64_t p = 0; p < args.pixels; ++p, y += ldy) {
      if (kStride == 2) next(b);
      next(c);
#pragma GCC unroll 2
      for (int line = 0; line < kLines; ++line) {
        __m256i acc[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = dot(lane.init[q], &a[q], &w[line][q]);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = dot(acc[q], &b[q], &w[line][4 + q]);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = dot(acc[q], &c[q], &w[line][8 + q]);
        put(acc, y + line * line_step, n);
      }
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        a[q] = kStride == 1 ? b[q] : c[q];
        b[q] = c[q];
      }
    }
    y += (kLines - 1) * line_step;
  }
}

// Every line, in pairs as long as there are two and kPairs.
template <bool kFlip, bool kFull, int kStride, bool kPairs>
void slide_lines(const DepthwiseArgs& args, int64_t channel) {
  if (kPairs) slide_block<kFlip, kFull, kStride, 2>(args, channel);
  if (kPairs && args.lines % 2 == 0) return;
  DepthwiseArgs rest = args;
  const int64_t done = kPairs ? args.lines - 1 : 0;
  rest.rows += done * args.step;
  rest.y = static_cast<uint8_t*>(args.y) + done * args.pixels * args.ldy;
  rest.lines -= done;
  slide_block<kFlip, kFull, kStride, 1>(rest, channel);
}

template <bool kFlip, int kStride, bool kPairs>
void slide_blocks(const DepthwiseArgs& args) {
  int64_t c = 0;
  for (; c + kBlock <= args.channels; c += kBlock)
    slide_lines<kFlip, true, kStride, kPairs>(args, c);
  if (c < args.channels) slide_lines<kFlip, false, kStride, kPairs>(args, c);
}

// Bytes without a residual, and windows that begin in the same column of every row.
inline bool only_bytes(const DepthwiseArgs& args) {
  const Epilogue& e = *args.epilogue;
  if ((e.out != Out::u8 && e.out != Out::s8) || e.residual != nullptr) return false;
  for (int64_t r = 0; r < args.row_count; ++r) {
    if (args.shift[r] != 0) return false;
  }
  return true;
}

// Whether it was done here.
template <bool kFlip>
bool slide(const DepthwiseArgs& args) {
  if (args.kernel != 3 || args.row_count > 3 || args.dilation != 1 || !only_bytes(args))
    return false;
  if (args.stride == 1) {
    (args.step == 1 && args.lines > 1 ? slide_blocks<kFlip, 1, true>
                                      : slide_blocks<kFlip, 1, false>)(args);
  } else if (args.stride == 2) {
    slide_blocks<kFlip, 2, false>(args);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace pycompress
