// Windows of 3x3 and 5x5 in float32: one vector of channels at a time, all lines and pixels of it.
//
//   its 9 or 25 weights    stay in registers (32 of them: avx2 reads them from the stack)
//   4 neighbouring pixels  are summed at once: a value is loaded once for all their windows
//
//   columns   j0  j1  j2  j3  j4  j5        kernel 3, stride 1
//   pixel 0   w0  w1  w2
//   pixel 1       w0  w1  w2
//   pixel 2           w0  w1  w2
//   pixel 3               w0  w1  w2
//
// At the ends of a line, and of the channels, four pixels or a vector that overlap others are
// computed a second time.
#pragma once
#include "kernels.h"
#include "simd/divide.inc.h"

namespace pycompress {
namespace {

constexpr int64_t kPixels = 4;

// What becomes of finished sums.
enum class Store { plain, ranged, bytes };

// Finishes sums and stores them. All that changes is in registers, where a loop has its own copy.
template <Store kStore>
class FloatStore {
 public:
  explicit FloatStore(const DepthwiseArgs& args)
      : epilogue_(args.epilogue),
        y_(args.y),
        ldy_(args.ldy),
        row_(args.row),
        products_(kStore == Store::bytes && two_products_are_exact(args.unit)),
        lo_(set1(args.epilogue->lo)),
        hi_(set1(args.epilogue->hi)),
        unit_(set1(args.unit)),
        inverse_(products_ ? invert(unit_) : Inverse{unit_, unit_}),
        least_(set1(__builtin_inff())),
        largest_(set1(-__builtin_inff())) {}

  // Channels c.. of pixel p of all lines; n < kLanes only at the end of the channels.
  [[gnu::always_inline]] void operator()(F32 v, int64_t p, int64_t c, int64_t n) {
    const Epilogue& e = *epilogue_;
    const auto get = [n](const float* x) { return n == kLanes ? load(x) : load_partial(x, n); };
    if (e.scale != nullptr) v = mul(v, get(e.scale + c));
    if (e.bias != nullptr) v = add(v, get(e.bias + c));
    if (e.residual != nullptr) {
      const auto* residual = static_cast<const float*>(e.residual);
      v = add(v, get(residual + (row_ + p) * e.residual_ld + c));
    }
    finish(v, p * ldy_ + c, n);
  }

  // A whole vector; at: where in the result.
  [[gnu::always_inline]] void finish(F32 v, int64_t at, int64_t n) {
    if (kStore == Store::bytes) {
      v = min(hi_, v);  // what is below 0 saturates
      largest_ = max(n == kLanes ? v : keep_first(v, n, largest_), largest_);
      const I32 q = to_i32(products_ ? times(v, inverse_) : div(v, unit_));
      auto* y = static_cast<uint8_t*>(y_) + at;
      n == kLanes ? store_sat(y, q) : store_sat_partial(y, n, q);
      return;
    }
    v = min(hi_, max(lo_, v));  // NaN stays
    if (kStore == Store::ranged) {
      // NaN, and lanes that are none, leave the range as it is.
      least_ = min(n == kLanes ? v : keep_first(v, n, least_), least_);
      largest_ = max(n == kLanes ? v : keep_first(v, n, largest_), largest_);
    }
    float* y = static_cast<float*>(y_) + at;
    n == kLanes ? store(y, v) : store_partial(y, n, v);
  }

  void give_range(float* range) const {
    if (kStore == Store::plain) return;
    const float least = reduce_min(least_);
    const float largest = reduce_max(largest_);
    range[0] = least < range[0] ? least : range[0];
    range[1] = largest > range[1] ? largest : range[1];
  }

 private:
  const Epilogue* epilogue_;
  void* y_;
  int64_t ldy_, row_;
  bool products_;
  F32 lo_, hi_, unit_;
  Inverse inverse_;
  F32 least_, largest_;
};

// The rows of a line's windows, at one vector of channels.
template <int kKernel>
struct Rows {
  const float* at[kKernel];  // the column where the first window begins, which may lie outside
  int64_t pitch[kKernel];    // to the next column: none in a row that is padding
};

// kPixels sums; `column` is where the first window begins. kInside: no window leaves the image.
template <int kKernel, int kStride, bool kInside>
[[gnu::always_inline]] inline void sum_pixels(const DepthwiseArgs& args, const Rows<kKernel>& rows,
                                              const F32 (&w)[kKernel * kKernel], int64_t column,
                                              const float* padding, F32 (&acc)[kPixels]) {
#pragma GCC unroll 16
  for (int64_t i = 0; i < kPixels; ++i) acc[i] = set1(0.0f);
  const float* at[kKernel];
#pragma GCC unroll 16
  for (int r = 0; r < kKernel; ++r) at[r] = rows.at[r] + (column - args.first) * rows.pitch[r];
#pragma GCC unroll 16
  for (int j = 0; j < (kPixels - 1) * kStride + kKernel; ++j) {
    const bool inside =
        kInside || static_cast<uint64_t>(column + j) < static_cast<uint64_t>(args.width);
#pragma GCC unroll 16
    for (int r = 0; r < kKernel; ++r) {
      const F32 x = in_register(load(inside ? at[r] : padding));
      at[r] += rows.pitch[r];
#pragma GCC unroll 16
      for (int i = 0; i < kPixels; ++i) {
        const int k = j - i * kStride;
        if (k >= 0 && k < kKernel) acc[i] = fma(x, w[k * kKernel + r], acc[i]);
      }
    }
  }
}

template <int kKernel, int kStride, Store kStore>
void slide_channels(const DepthwiseArgs& args, int64_t c) {
  FloatStore<kStore> put(args);
  const auto* padding = static_cast<const float*>(args.padding) + c;
  const auto* weights = static_cast<const float*>(args.w) + c;
  F32 w[kKernel * kKernel];
#pragma GCC unroll 32
  for (int t = 0; t < kKernel * kKernel; ++t) w[t] = load(weights + t * args.w_step);
  const float* bias = args.epilogue->bias;
  const F32 b = bias == nullptr ? set1(-0.0f) : load(bias + c);  // which changes no sum
  const int64_t ldy = args.ldy;
  for (int64_t line = 0; line < args.lines; ++line) {
    Rows<kKernel> rows;
    for (int r = 0; r < kKernel; ++r) {
      const void* row = args.rows[line * args.step + r];
      rows.pitch[r] = row == nullptr ? 0 : args.channels;
      rows.at[r] = row == nullptr ? padding
                                  : static_cast<const float*>(row) + c + args.first * args.channels;
    }
    const auto four = [&](int64_t pixel) {
      F32 acc[kPixels];
      const int64_t column = args.first + pixel * kStride;
      const int64_t end = column + (kPixels - 1) * kStride + kKernel;
      if (column >= 0 && end <= args.width) {
        sum_pixels<kKernel, kStride, true>(args, rows, w, column, padding, acc);
      } else {
        sum_pixels<kKernel, kStride, false>(args, rows, w, column, padding, acc);
      }
      const int64_t at = (line * args.pixels + pixel) * ldy + c;
#pragma GCC unroll 16
      for (int64_t i = 0; i < kPixels; ++i) put.finish(add(acc[i], b), at + i * ldy, kLanes);
    };
    int64_t pixel = 0;
    for (; pixel + kPixels <= args.pixels; pixel += kPixels) four(pixel);
    if (pixel < args.pixels) four(args.pixels - kPixels);
  }
  put.give_range(args.range);
}

template <int kKernel, int kStride, Store kStore>
void slide_all(const DepthwiseArgs& args) {
  constexpr auto kSlide = slide_channels<kKernel, kStride, kStore>;
  int64_t c = 0;
  for (; c + kLanes <= args.channels; c += kLanes) kSlide(args, c);
  if (c < args.channels) kSlide(args, args.channels - kLanes);
}

// Whether it was done here.
template <Store kStore>
bool slide_f32(const DepthwiseArgs& args) {
  const Epilogue& e = *args.epilogue;
  // A residual may lie where the result goes: nothing can be computed twice.
  if (args.row_count != args.kernel || args.dilation != 1 || e.residual != nullptr ||
      e.scale != nullptr || args.pixels < kPixels || args.channels < kLanes)
    return false;
  for (int64_t r = 0; r < args.row_count; ++r) {
    if (args.shift[r] != 0) return false;
  }
  if (args.stride != 1 && args.stride != 2) return false;
  if (args.kernel == 3) {
    (args.stride == 1 ? slide_all<3, 1, kStore> : slide_all<3, 2, kStore>)(args);
  } else if (args.kernel == 5) {
    (args.stride == 1 ? slide_all<5, 1, kStore> : slide_all<5, 2, kStore>)(args);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace pycompress
