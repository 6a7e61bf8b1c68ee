// Quantizing by one scale and by a scale for each row, over the names of a simd/ header.
#pragma once
#include "kernels.h"
#include "quantize/quantize_divide.inc.h"

namespace pycompress {
namespace {

constexpr int64_t kFour = 4 * kLanes;  // bytes that are stored at once

// How many elements on, p is aligned to a store of four vectors, or x to a load of one: loads that
// cross cache lines cost a quarter of the speed.
inline int64_t until_aligned(const void* q) {
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(q) & static_cast<uintptr_t>(kFour - 1));
}
inline int64_t until_aligned(const float* x) {
  constexpr uintptr_t kBytes = kLanes * sizeof(float);
  return static_cast<int64_t>((-reinterpret_cast<uintptr_t>(x) & (kBytes - 1)) / sizeof(float));
}
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

inline F32 bounded(F32 v) { return min(set1(1024.0f), v); }  // where to_i32 needs it; NaN stays

// NaN and what is far below end at -1024, so that a zero point can be added without wrapping.
inline I32 to_i32_bounded(F32 v) { return to_i32(max(bounded(v), set1(-1024.0f))); }

// Writes whole vectors.
inline void invert_all(const float* scale, int64_t n, float* reciprocal, float* rest) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    const Inverse by = invert(left >= kLanes ? load(scale + i) : load_partial(scale + i, left));
    store(reciprocal + i, by.reciprocal);
    store(rest + i, by.rest);
  }
}

// ---- one scale ----------------------------------------------------------------------------------

struct Products {
  Inverse inverse;
  F32 operator()(F32 x) const { return times(x, inverse); }
};

struct Quotient {
  F32 scale;
  F32 operator()(F32 x) const { return div(x, scale); }
};

// n < kFour elements.
template <typename Byte, typename Divide>
inline void quantize_few(const float* x, int64_t n, const Divide& divide, int32_t zero, Byte* q) {
  const I32 zeros = set1(zero);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store_sat(q + i, add(to_i32_bounded(divide(load(x + i))), zeros));
  }
  if (i < n) {
    const F32 v = divide(load_partial(x + i, n - i));
    store_sat_partial(q + i, n - i, add(to_i32_bounded(v), zeros));
  }
}

template <bool kStream, typename Byte, typename Divide>
inline void quantize_four(const float* x, const Divide& divide, const Zeros4& zeros, Byte* q) {
  const I32 a = to_i32(bounded(divide(load(x))));
  const I32 b = to_i32(bounded(divide(load(x + kLanes))));
  const I32 c = to_i32(bounded(divide(load(x + 2 * kLanes))));
  const I32 d = to_i32(bounded(divide(load(x + 3 * kLanes))));
  store_sat4<kStream>(q, a, b, c, d, zeros);
}

template <bool kStream, typename Byte, typename Divide>
inline void quantize_run(const float* x, int64_t n, const Divide& divide, int32_t zero, Byte* q,
                         const float* next = nullptr) {
  if (n < kFour) {
    quantize_few(x, n, divide, zero, q);
    return;
  }
  // What does not come in fours at the ends is done as fours that overlap others.
  const Zeros4 zeros = zeros4(zero);
  int64_t i = kStream ? until_aligned(static_cast<const void*>(q)) : until_aligned(x);
  if (i > 0) quantize_four<false>(x, divide, zeros, q);
  if (next != nullptr) {
    for (; i + kFour <= n; i += kFour) {
#pragma GCC unroll 16
      for (int64_t line = 0; line < kFour; line += 16) __builtin_prefetch(next + i + line);
      quantize_four<kStream>(x + i, divide, zeros, q + i);
    }
  }
  for (; i + kFour <= n; i += kFour) quantize_four<kStream>(x + i, divide, zeros, q + i);
  if (i < n) quantize_four<false>(x + n - kFour, divide, zeros, q + n - kFour);
}

template <typename Byte>
inline void quantize_row(const float* x, int64_t n, float scale, int32_t zero, Byte* q) {
  if (two_products_are_exact(scale)) {
    quantize_run<false>(x, n, Products{invert(set1(scale))}, zero, q);
  } else {
    quantize_run<false>(x, n, Quotient{set1(scale)}, zero, q);
  }
}

// Inverses are found for a few rows at a time: one alone is a long wait.
template <bool kStream, typename Byte>
inline void quantize_rows(const QuantizeArgs& args) {
  constexpr int64_t kRows = 64;
  float reciprocal[kRows];
  float rest[kRows];
  for (int64_t r = 0; r < args.rows; ++r) {
    const int64_t at = r % kRows;
    if (at == 0) invert_all(args.scale + r, least(kRows, args.rows - r), reciprocal, rest);
    const float* x = args.x + r * args.ld;
    Byte* q = static_cast<Byte*>(args.q) + r * args.ld;
    if (two_products_are_exact(args.scale[r])) {
      const Products products{{set1(reciprocal[at]), set1(rest[at])}};
      quantize_run<kStream>(x, args.n, products, args.zero[r], q, args.next);
    } else {
      quantize_run<kStream>(x, args.n, Quotient{set1(args.scale[r])}, args.zero[r], q, args.next);
    }
  }
}

template <typename Byte>
void quantize_rows(const QuantizeArgs& args) {
  if (args.stream) {
    quantize_rows<true, Byte>(args);
    streams_done();
  } else {
    quantize_rows<false, Byte>(args);
  }
}

}  // namespace
}  // namespace pycompress
