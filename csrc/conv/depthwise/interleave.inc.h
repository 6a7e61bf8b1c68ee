// Depthwise convolution in int8 by interleaved columns, 32 channels at a time in ymm registers. The
// file that includes it gives first: kParts, split(), widen_weights(), dot(), load_bytes(),
// store_bytes(), dot_pairs().
//
// clang-format off
//   Pass 1, once per input column: the bytes of up to 4 image rows side by side, as a dot product of
//   4 wants them.
//
//     row 0  a0 a1 a2 .. |
//     row 1  b0 b1 b2 .. |  unpack bytes, then words, within 16-byte lanes:
//     row 2  c0 c1 c2 .. |    a0 b0 c0 d0  a1 b1 c1 d1 ..
//     row 3  d0 d1 d2 .. |  quad 0: channels 0-3 and 16-19, quad 1: 4-7 and 20-23, quads 2, 3 likewise
//
//   Pass 2, per pixel: one dot per kernel column and quad. A 3x3 window of stride 1 shares each column
//   with two neighbours, so the shuffles, which bound a direct form, are paid once for three.
// clang-format on
//
// The packs that narrow the sums to bytes undo the lane order: nothing is ever put back in order.
#pragma once
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kColumnBytes = 4 * kParts * kBlock;  // of one column and one group of 4 rows
constexpr int64_t kScratch = kDepthwiseSteps * kColumnBytes * 2;

template <bool kFlip>
inline void interleave(const uint8_t* const* rows, int64_t n, __m256i* out) {
  __m256i r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = load_bytes(rows[i], n);
    if (kFlip) r[i] = _mm256_xor_si256(r[i], _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  const __m256i lo01 = _mm256_unpacklo_epi8(r[0], r[1]);
  const __m256i hi01 = _mm256_unpackhi_epi8(r[0], r[1]);
  const __m256i lo23 = _mm256_unpacklo_epi8(r[2], r[3]);
  const __m256i hi23 = _mm256_unpackhi_epi8(r[2], r[3]);
  split(_mm256_unpacklo_epi16(lo01, lo23), out);
  split(_mm256_unpackhi_epi16(lo01, lo23), out + kParts);
  split(_mm256_unpacklo_epi16(hi01, hi23), out + 2 * kParts);
  split(_mm256_unpackhi_epi16(hi01, hi23), out + 3 * kParts);
}

// A run of columns of up to 4 image rows: the pointers move by one pitch, 0 where a row is padding.
template <bool kFlip>
void interleave_run(const uint8_t* const* rows, const int64_t* pitch, int64_t n, int64_t count,
                    int64_t out_step, __m256i* out) {
  const uint8_t* p[4] = {rows[0], rows[1], rows[2], rows[3]};
  for (int64_t j = 0; j < count; ++j, out += out_step) {
    interleave<kFlip>(p, n, out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) p[i] += pitch[i];
  }
}

// Columns 0..count-1 of a row of windows; column j of row r is image column first + j * step +
// shift[r]. Where all 4 rows of a group are inside the image they run; the others go one by one.
template <bool kFlip>
void interleave_columns(const DepthwiseArgs& args, int64_t channel, int64_t n, int64_t first,
                        int64_t step, int64_t count, __m256i* out) {
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
    __m256i* const group_out = out + g * 4 * kParts;
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
    __m256i* const run_out = group_out + begin * out_step;
    if (n == kBlock) {
      interleave_run<kFlip>(rows, pitch, kBlock, end - begin, out_step, run_out);
    } else {
      interleave_run<kFlip>(rows, pitch, n, end - begin, out_step, run_out);
    }
    one_by_one(end, count);
  }
}

// What an epilogue needs at 32 channels, read once for all pixels of a call.
struct Lane32 {
  const Epilogue& epilogue;
  const DepthwiseArgs& args;
  int64_t channel, n;
  bool has_bias;
  __m256i init[4];
  __m256 scale[4];
  __m256 bias[4];
  __m256 lo, hi;
  __m256i zero;

  Lane32(const DepthwiseArgs& a, int64_t c, int64_t count)
      : epilogue(*a.epilogue), args(a), channel(c), n(count), has_bias(epilogue.bias != nullptr) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int64_t at = c + 8 * q;
      init[q] = _mm256_setzero_si256();
      scale[q] = _mm256_set1_ps(1.0f);
      bias[q] = _mm256_setzero_ps();
      if (epilogue.init != nullptr) {
        init[q] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(epilogue.init + at));
      }
      if (epilogue.scale != nullptr) scale[q] = _mm256_loadu_ps(epilogue.scale + at);
      if (has_bias) bias[q] = _mm256_loadu_ps(epilogue.bias + at);
    }
    float low = epilogue.lo;
    float high = epilogue.hi;
    if (epilogue.out == Out::u8 || epilogue.out == Out::s8) {
      // Saturation before rounding is saturation after it: the bounds are integers.
      const int32_t least = epilogue.out == Out::u8 ? 0 : -128;
      const auto bottom = static_cast<float>(least - epilogue.out_zero);
      const auto top = static_cast<float>(least + 255 - epilogue.out_zero);
      low = low < bottom ? bottom : low > top ? top : low;
      high = high > top ? top : high < bottom ? bottom : high;
    }
    lo = _mm256_set1_ps(low);
    hi = _mm256_set1_ps(high);
    zero = _mm256_set1_epi16(static_cast<int16_t>(epilogue.out_zero));
  }

  __m256 scaled(__m256i acc, int quad) const {
    const __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale[quad]);
    return has_bias ? _mm256_add_ps(v, bias[quad]) : v;
  }

  __m256 clamped(__m256 v) const { return _mm256_min_ps(_mm256_max_ps(v, lo), hi); }

  // 32-bit results go to memory through their 16-byte halves, which are in order.
  void store_quads(const __m256i* v, int64_t pixel) const {
    auto* y = static_cast<int32_t*>(args.y) + pixel * args.ldy + channel;
    alignas(32) int32_t partial[kBlock];
    int32_t* out = n == kBlock ? y : partial;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * q), _mm256_castsi256_si128(v[q]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 + 4 * q),
                       _mm256_extracti128_si256(v[q], 1));
    }
    if (n != kBlock) __builtin_memcpy(y, partial, static_cast<size_t>(n) * sizeof(int32_t));
  }

  void store_f32(__m256i* acc, int64_t pixel) const {
    alignas(32) float residual[kBlock];
    const float* r = static_cast<const float*>(epilogue.residual);
    if (r != nullptr) {
      r += (args.row + pixel) * epilogue.residual_ld + channel;
      if (n != kBlock) {
        __builtin_memcpy(residual, r, static_cast<size_t>(n) * sizeof(float));
        r = residual;
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      __m256 v = scaled(acc[q], q);
      if (r != nullptr) {
        const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(r + 4 * q));
        v = _mm256_add_ps(v, _mm256_insertf128_ps(low, _mm_loadu_ps(r + 16 + 4 * q), 1));
      }
      // NaN stays: it is the second operand. In bytes it goes to the low end, by clamped().
      v = _mm256_min_ps(hi, _mm256_max_ps(lo, v));
      acc[q] = _mm256_castps_si256(v);
    }
    store_quads(acc, pixel);
  }

  // The residual's bytes, widened in lane order.
  void add_residual(__m256* v, int64_t pixel) const {
    const bool is_signed = epilogue.out == Out::s8;
    const auto* r = static_cast<const uint8_t*>(epilogue.residual) +
                    (args.row + pixel) * epilogue.residual_ld + channel;
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(is_signed ? 0x80 : 0));
    const __m256i origin = _mm256_set1_epi32(epilogue.residual_zero + (is_signed ? 128 : 0));
    const __m256 size = _mm256_set1_ps(epilogue.residual_scale);
    const __m256i none = _mm256_setzero_si256();
    const __m256i bytes = _mm256_xor_si256(load_bytes(r, n), flip);
    const __m256i lo = _mm256_unpacklo_epi8(bytes, none);
    const __m256i hi = _mm256_unpackhi_epi8(bytes, none);
    const __m256i quads[4] = {_mm256_unpacklo_epi16(lo, none), _mm256_unpackhi_epi16(lo, none),
                              _mm256_unpacklo_epi16(hi, none), _mm256_unpackhi_epi16(hi, none)};
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(quads[q], origin));
      v[q] = _mm256_add_ps(v[q], _mm256_mul_ps(x, size));
    }
  }

  void store_q8(const __m256i* acc, int64_t pixel) const {
    __m256 v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) v[q] = scaled(acc[q], q);
    if (epilogue.residual != nullptr) add_residual(v, pixel);
    __m256i i[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) i[q] = _mm256_cvtps_epi32(clamped(v[q]));
    const __m256i low = _mm256_add_epi16(_mm256_packs_epi32(i[0], i[1]), zero);
    const __m256i high = _mm256_add_epi16(_mm256_packs_epi32(i[2], i[3]), zero);
    auto* y = static_cast<uint8_t*>(args.y) + pixel * args.ldy + channel;
    store_bytes(
        y, epilogue.out == Out::u8 ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high),
        n);
  }
};

// kKernel x kGroups: known at compile time, weights in registers where there are enough; 0: any.
// The copies of `values` and of the weights are what the compiler keeps in registers: stores of
// bytes might otherwise have changed them.
template <int kKernel, int kGroups, Out kOut>
void dot_pixels(const Lane32& values, const __m256i* columns, const __m256i* weights, int64_t pixel,
                int64_t count, int64_t advance) {
  const Lane32 lane = values;
  const DepthwiseArgs& args = lane.args;
  const int64_t kernel = kKernel != 0 ? kKernel : args.kernel;
  const int64_t groups = kGroups != 0 ? kGroups : (args.row_count + 3) / 4;
  const int64_t tap = args.dilation * groups * 4 * kParts;
  constexpr int kHeld = kKernel * kGroups * 4 * kParts;
  __m256i held[kHeld != 0 ? kHeld : 1];
#pragma GCC unroll 32
  for (int i = 0; i < kHeld; ++i) held[i] = weights[i];
  const __m256i* w = kHeld != 0 ? held : weights;
  for (int64_t p = 0; p < count; ++p) {
    __m256i acc[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) acc[q] = lane.init[q];
    const __m256i* x = columns + p * advance * groups * 4 * kParts;
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
  alignas(64) __m256i columns[kScratch / 32];
  const int64_t groups = (args.row_count + 3) / 4;
  const int64_t left = args.channels - channel;
  const Lane32 lane(args, channel, left < kBlock ? left : kBlock);
  const int64_t steps = args.kernel * groups;
  WeightBuffer buffer;
  const __m256i* w = widen_weights(
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
