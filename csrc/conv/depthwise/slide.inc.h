// 3x3 depthwise convolution in int8, one pass: a window's columns stay in registers while it moves
// to the right. interleave() makes a column of 4 quads.
//
//                 a       b       c       d        columns of up to 4 image rows, interleaved
//   pixel 0       w[0]    w[1]    w[2]
//   pixel 1               w[0]    w[1]    w[2]     stride 1: then a, b = c, d
//
//   pixel 0       w[0]    w[1]    w[2]             stride 2: then a = c
//
// Blocks of 64 channels first: the registers do twice the work, the addresses of columns cost as
// much.
//
// Two output lines of stride 1 read 4 image rows, as many as a dot product takes: with the weights
// moved on by one byte, the second line reads the columns that the first one has made.
#pragma once
#include "conv/depthwise/interleave.inc.h"

namespace pycompress {
namespace {

// The epilogue of a block of channels without a residual, kept in registers from pixel to pixel.
template <class V>
struct ByteStore {
  using Float = typename V::Float;
  using Int = typename V::Int;
  static constexpr int64_t kBytes = 1;  // of an element
  bool has_bias, is_unsigned;
  bool saturates;  // the packs do all that lo and hi would
  bool swishes;
  Float gain, shift, reciprocal, rest;
  Float lo, hi;
  Int zero;
  Int init[4];
  Float scale[4], bias[4];

  ByteStore(const DepthwiseArgs& args, int64_t channel, int64_t n)
      : ByteStore(Lane32(args, channel, n), Lane32(args, channel + V::kChannels - kBlock, n)) {}
  ByteStore(const Lane32& a, const Lane32& b)
      : has_bias(a.has_bias),
        is_unsigned(a.epilogue.out == Out::u8),
        saturates(a.whole_range && a.epilogue.hard_swish == nullptr),
        lo(V::join(a.lo, b.lo)),
        hi(V::join(a.hi, b.hi)),
        zero(V::join(a.zero, b.zero)) {
    const HardSwish* h = a.epilogue.hard_swish;
    swishes = h != nullptr;
    gain = V::all(swishes ? h->gain : 1.0f);
    shift = V::all(swishes ? h->shift : 0.0f);
    reciprocal = V::all(swishes ? h->reciprocal : 1.0f);
    rest = V::all(swishes ? h->rest : 0.0f);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      init[q] = V::join(a.init[q], b.init[q]);
      scale[q] = V::join(a.scale[q], b.scale[q]);
      bias[q] = V::join(a.bias[q], b.bias[q]);
      saturates = saturates && V::fits(scale[q], bias[q]);
    }
  }

  template <bool kClamp>
  [[gnu::always_inline]] void store(const Int (&sums)[4], uint8_t* y, int64_t n) const {
    Float v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) v[q] = V::times(sums[q], scale[q]);
    if (has_bias) {
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) v[q] = V::add(v[q], bias[q]);
    }
    if (kClamp && swishes) {
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const Float slope = V::add(V::mul(v[q], V::all(1.0f / 6.0f)), V::all(0.5f));
        v[q] = V::mul(v[q], V::clamp(slope, V::all(0.0f), V::all(1.0f)));
        v[q] = V::add(V::mul(v[q], gain), shift);
        v[q] = V::fma(v[q], reciprocal, V::mul(v[q], rest));
      }
    }
    Int i[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) i[q] = V::rounded(kClamp ? V::clamp(v[q], lo, hi) : v[q]);
    const Int low = V::words(i[0], i[1], zero);
    const Int high = V::words(i[2], i[3], zero);
    V::store(y, V::bytes(low, high, is_unsigned), n);
  }
};

// The same for float32: what is left of a layer follows, while the sums are in cache.
template <class V>
struct SumStore {
  using Float = typename V::Float;
  using Int = typename V::Int;
  static constexpr int64_t kBytes = 4;
  static constexpr bool saturates = false;
  bool has_bias;
  Float lo, hi;
  Int init[4];
  Float scale[4], bias[4];

  SumStore(const DepthwiseArgs& args, int64_t channel, int64_t n)
      : SumStore(Lane32(args, channel, n), Lane32(args, channel + V::kChannels - kBlock, n)) {}
  SumStore(const Lane32& a, const Lane32& b)
      : has_bias(a.has_bias), lo(V::join(a.lo, b.lo)), hi(V::join(a.hi, b.hi)) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      init[q] = V::join(a.init[q], b.init[q]);
      scale[q] = V::join(a.scale[q], b.scale[q]);
      bias[q] = V::join(a.bias[q], b.bias[q]);
    }
  }

  template <bool>
  [[gnu::always_inline]] void store(const Int (&sums)[4], uint8_t* y, int64_t n) const {
    Float v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      v[q] = V::times(sums[q], scale[q]);
      if (has_bias) v[q] = V::add(v[q], bias[q]);
      v[q] = V::bounded(v[q], lo, hi);
    }
    V::store_quads(reinterpret_cast<float*>(y), v, n);
  }
};

// Vector `i` of the weights of a block, each 32 channels of it after those before.
template <class V>
inline typename V::Int block_weights(const DepthwiseArgs& args, int64_t channel, int64_t vectors,
                                     int64_t i) {
  const auto* w = reinterpret_cast<const __m256i*>(args.w) + channel / kBlock * vectors + i;
  return V::join(_mm256_loadu_si256(w),
                 _mm256_loadu_si256(w + (V::kChannels / kBlock - 1) * vectors));
}

template <class V, bool kFlip, bool kFull, int kStride, int kLines, bool kClamp, class Store>
void slide_block(const DepthwiseArgs& args, int64_t channel, const Store& of) {
  using Int = typename V::Int;
  const Store put = of;
  const int64_t n = kFull ? V::kChannels : args.channels - channel;
  const uint8_t* const padding = static_cast<const uint8_t*>(args.padding) + channel;
  alignas(64) Int w[kLines][12];
  for (int i = 0; i < 12; ++i) {
    w[0][i] = block_weights<V>(args, channel, 12, i);
    if (kLines == 2) w[kLines - 1][i] = V::up(w[0][i], _mm_cvtsi64_si128(8));
  }
  const int64_t ldy = args.ldy * Store::kBytes;
  const int64_t line_step = args.pixels * ldy;
  uint8_t* y = static_cast<uint8_t*>(args.y) + channel * Store::kBytes;
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
    const auto next = [&](Int(&out)[4]) __attribute__((always_inline)) {
      const bool inside = column++ < static_cast<uint64_t>(args.width);
      const uint8_t* from[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        from[i] = inside ? reinterpret_cast<const uint8_t*>(at[i]) : padding;
        at[i] += pitch[i];
      }
      interleave4<V, kFlip>(from, n, out);
    };
    Int a[4];
    Int b[4];
    Int c[4];
    next(a);
    if (kStride == 1) next(b);
    for (int64_t p = 0; p < args.pixels; ++p, y += ldy) {
      if (kStride == 2) next(b);
      next(c);
#pragma GCC unroll 2
      for (int line = 0; line < kLines; ++line) {
        Int acc[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = V::dot(put.init[q], a[q], w[line][q]);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = V::dot(acc[q], b[q], w[line][4 + q]);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) acc[q] = V::dot(acc[q], c[q], w[line][8 + q]);
        put.template store<kClamp>(acc, y + line * line_step, n);
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

template <class V, bool kFlip, bool kFull, int kStride, int kLines>
void slide_block(const DepthwiseArgs& args, int64_t channel) {
  const int64_t left = args.channels - channel;
  const int64_t n = left < kBlock ? left : kBlock;
  if (args.epilogue->out == Out::f32) {
    const SumStore<V> put(args, channel, n);
    return slide_block<V, kFlip, kFull, kStride, kLines, true>(args, channel, put);
  }
  const ByteStore<V> put(args, channel, n);
  (kFull && put.saturates
       ? slide_block<V, kFlip, kFull, kStride, kLines, !kFull, ByteStore<V>>
       : slide_block<V, kFlip, kFull, kStride, kLines, true, ByteStore<V>>)(args, channel, put);
}

inline int64_t element_bytes(const DepthwiseArgs& args) {
  const Out out = args.epilogue->out;
  return out == Out::u8 || out == Out::s8 ? 1 : 4;
}

// Every line, in pairs as long as there are two and kPairs.
template <class V, bool kFlip, bool kFull, int kStride, bool kPairs>
void slide_lines(const DepthwiseArgs& args, int64_t channel) {
  if (kPairs) slide_block<V, kFlip, kFull, kStride, 2>(args, channel);
  if (kPairs && args.lines % 2 == 0) return;
  DepthwiseArgs rest = args;
  const int64_t done = kPairs ? args.lines - 1 : 0;
  rest.rows += done * args.step;
  rest.y = static_cast<uint8_t*>(args.y) + done * args.pixels * args.ldy * element_bytes(args);
  rest.lines -= done;
  slide_block<V, kFlip, kFull, kStride, 1>(rest, channel);
}

template <bool kFlip, int kStride, bool kPairs>
void slide_blocks(const DepthwiseArgs& args) {
  int64_t c = 0;
  for (; c + Zmm::kChannels <= args.channels; c += Zmm::kChannels)
    slide_lines<Zmm, kFlip, true, kStride, kPairs>(args, c);
  for (; c + Ymm::kChannels <= args.channels; c += Ymm::kChannels)
    slide_lines<Ymm, kFlip, true, kStride, kPairs>(args, c);
  if (c < args.channels) slide_lines<Ymm, kFlip, false, kStride, kPairs>(args, c);
}

// No residual, and windows that begin in the same column of every row.
inline bool is_plain(const DepthwiseArgs& args) {
  const Epilogue& e = *args.epilogue;
  if (e.out == Out::s32 || e.residual != nullptr) return false;
  for (int64_t r = 0; r < args.row_count; ++r) {
    if (args.shift[r] != 0) return false;
  }
  return true;
}

// Whether it was done here.
template <bool kFlip>
bool slide(const DepthwiseArgs& args) {
  if (args.kernel != 3 || args.row_count > 3 || args.dilation != 1 || !is_plain(args)) return false;
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
