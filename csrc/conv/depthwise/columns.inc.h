// Depthwise convolution in int8 by interleaved columns, a block of channels at a time.
//
// clang-format off
//   Pass 1, once per input column: the bytes of up to 4 image rows side by side, as a dot product of
//   4 wants them.
//
//     row 0  a0 a1 a2 .. |
//     row 1  b0 b1 b2 .. |  four quads of vectors, in the order of depthwise_channel():
//     row 2  c0 c1 c2 .. |    a0 b0 c0 d0  a1 b1 c1 d1 ..
//     row 3  d0 d1 d2 .. |
//
//   Pass 2, per pixel: one dot per kernel column and quad. A 3x3 window of stride 1 shares each column
//   with two neighbours, so the shuffles, which bound a direct form, are paid once for three.
// clang-format on
//
// The file that includes it gives first: kBlock, the vector types Bytes and Sums, kParts (vectors
// of Bytes that a quad takes), interleave<kFlip>(), WeightBuffer, widen_weights(), dot(),
// dot_pairs(), and Lane: the epilogue at a block of channels.
#pragma once
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int64_t kColumnBytes = 4 * kParts * kBlock;  // of one column and one group of 4 rows
constexpr int64_t kScratch = kDepthwiseSteps * kColumnBytes * 2;

// A run of columns of up to 4 image rows: the pointers move by one pitch, 0 where a row is padding.
template <bool kFlip, typename Vector>
void interleave_run(const uint8_t* const* rows, const int64_t* pitch, int64_t n, int64_t count,
                    int64_t out_step, Vector* out) {
  const uint8_t* p[4] = {rows[0], rows[1], rows[2], rows[3]};
  for (int64_t j = 0; j < count; ++j, out += out_step) {
    interleave<kFlip>(p, n, out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) p[i] += pitch[i];
  }
}

// Columns 0..count-1 of a row of windows; column j of row r is image column first + j * step +
// shift[r]. Where all 4 rows of a group are inside the image they run; the others go one by one.
template <bool kFlip, typename Vector>
void interleave_columns(const DepthwiseArgs& args, int64_t channel, int64_t n, int64_t first,
                        int64_t step, int64_t count, Vector* out) {
  const int64_t groups = (args.row_count + 3) / 4;
  const int64_t out_step = groups * 4 * kParts;
  const uint8_t* padding = static_cast<const uint8_t*>(args.padding) + channel;
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* base[4];
    int64_t start[4];
    int64_t begin = 0;  // columns [begin, end) are inside in all rows
    int64_t end = count;
    for (int64_t i = 0; i < 4; ++i) {
      // Beyond the last row: its weight is zero.
      const int64_t r = 4 * g + i < args.row_count ? 4 * g + i : args.row_count - 1;
      base[i] = static_cast<const uint8_t*>(args.rows[r]);
      start[i] = first + args.shift[r];
      if (base[i] == nullptr) continue;
      base[i] += channel;
      const int64_t from = start[i] >= 0 ? 0 : (step - 1 - start[i]) / step;
      const int64_t to = start[i] >= args.width ? 0 : (args.width - start[i] + step - 1) / step;
      begin = from > begin ? from : begin;
      end = to < end ? to : end;
    }
    begin = begin < count ? begin : count;
    end = end > begin ? end : begin;
    Vector* const group_out = out + g * 4 * kParts;
    const auto one_by_one = [&](int64_t j, int64_t stop) {
      for (; j < stop; ++j) {
        const uint8_t* rows[4];
        for (int i = 0; i < 4; ++i) {
          const int64_t column = start[i] + j * step;
          const bool inside = base[i] != nullptr && column >= 0 && column < args.width;
          rows[i] = inside ? base[i] + column * args.channels : padding;
        }
        interleave<kFlip>(rows, n, group_out + j * out_step);
      }
    };
    one_by_one(0, begin);
    const uint8_t* rows[4];
    int64_t pitch[4];
    for (int i = 0; i < 4; ++i) {
      const bool inside = base[i] != nullptr;
      rows[i] = inside ? base[i] + (start[i] + begin * step) * args.channels : padding;
      pitch[i] = inside ? step * args.channels : 0;
    }
    Vector* const run_out = group_out + begin * out_step;
    if (n == kBlock) {
      interleave_run<kFlip>(rows, pitch, kBlock, end - begin, out_step, run_out);
    } else {
      interleave_run<kFlip>(rows, pitch, n, end - begin, out_step, run_out);
    }
    one_by_one(end, count);
  }
}

// kKernel x kGroups: known at compile time, weights in registers where there are enough; 0: any.
// The copies of `values` and of the weights are what the compiler keeps in registers: stores of
// bytes might otherwise have changed them.
template <int kKernel, int kGroups, Out kOut>
void dot_pixels(const Lane& values, const Bytes* columns, const Bytes* weights, int64_t pixel,
                int64_t count, int64_t advance) {
  const Lane lane = values;
  const DepthwiseArgs& args = lane.args;
  const int64_t kernel = kKernel != 0 ? kKernel : args.kernel;
  const int64_t groups = kGroups != 0 ? kGroups : (args.row_count + 3) / 4;
  const int64_t tap = args.dilation * groups * 4 * kParts;
  constexpr int kHeld = kKernel * kGroups * 4 * kParts;
  Bytes held[kHeld != 0 ? kHeld : 1];
#pragma GCC unroll 32
  for (int i = 0; i < kHeld; ++i) held[i] = weights[i];
  const Bytes* w = kHeld != 0 ? held : weights;
  for (int64_t p = 0; p < count; ++p) {
    Sums acc[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) acc[q] = lane.init[q];
    const Bytes* x = columns + p * advance * groups * 4 * kParts;
#pragma GCC unroll 3
    for (int64_t k = 0; k < kernel; ++k) {
#pragma GCC unroll 1
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = g * 4 * kParts;
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
          acc[q] = dot(acc[q], x + k * tap + at + q * kParts,
                       w + (k * groups + g) * 4 * kParts + q * kParts);
        }
      }
    }
    if (kOut == Out::s32) {
      lane.store_quads(acc, pixel + p);
    } else if (kOut == Out::f32) {
      lane.store_f32(acc, pixel + p);
    } else {
      lane.store_q8(acc, pixel + p);
    }
  }
}

template <bool kFlip, int kKernel, int kGroups, Out kOut>
void depthwise_block(const DepthwiseArgs& args, int64_t channel) {
  alignas(64) Bytes columns[kScratch / sizeof(Bytes)];
  const int64_t groups = (args.row_count + 3) / 4;
  const int64_t left = args.channels - channel;
  const Lane lane(args, channel, left < kBlock ? left : kBlock);
  const int64_t steps = args.kernel * groups;
  WeightBuffer buffer;
  const Bytes* w = widen_weights(
      static_cast<const uint8_t*>(args.w) + channel / kBlock * steps * 4 * kBlock, steps, buffer);
  // A window of one column is not shared: only the columns that are read are interleaved.
  const bool shared = args.kernel > 1;
  const int64_t step = shared ? 1 : args.stride;
  const int64_t advance = shared ? args.stride : 1;
  const int64_t span = (args.kernel - 1) * args.dilation + 1;
  const int64_t room = (kScratch / (groups * kColumnBytes) - span) / advance + 1;
  for (int64_t p = 0; p < args.pixels; p += room) {
    const int64_t count = args.pixels - p < room ? args.pixels - p : room;
    interleave_columns<kFlip>(args, channel, lane.n, args.first + p * args.stride, step,
                              (count - 1) * advance + span, columns);
    int64_t done = 0;
    if (kOut == Out::u8) {  // or s8
      done = dot_pairs<kKernel, kGroups>(lane, columns, w, p, count, advance);
    }
    dot_pixels<kKernel, kGroups, kOut>(lane, columns + done * advance * groups * 4 * kParts, w,
                                       p + done, count - done, advance);
  }
}

template <bool kFlip, int kKernel, int kGroups>
void depthwise_blocks(const DepthwiseArgs& args) {
  for (int64_t c = 0; c < args.channels; c += kBlock) {
    switch (args.epilogue->out) {
      case Out::s32:
        depthwise_block<kFlip, kKernel, kGroups, Out::s32>(args, c);
        break;
      case Out::f32:
        depthwise_block<kFlip, kKernel, kGroups, Out::f32>(args, c);
        break;
      default:
        depthwise_block<kFlip, kKernel, kGroups, Out::u8>(args, c);
        break;
    }
  }
}

template <bool kFlip>
void depthwise_int8(const DepthwiseArgs& args) {
  if (args.kernel == 3 && args.row_count <= 4) {
    depthwise_blocks<kFlip, 3, 1>(args);
  } else {
    depthwise_blocks<kFlip, 0, 0>(args);
  }
}

}  // namespace
}  // namespace pycompress
