// Quantizing a run by one scale, over the names of a simd/ header.
#pragma once
#include "quantize/alignment.inc.h"
#include "simd/divide.inc.h"
#include "simd/hard_swish.inc.h"

namespace pycompress {
namespace {

struct Products {
  Inverse inverse;
  F32 operator()(F32 x) const { return times(x, inverse); }
};

struct Quotient {
  F32 scale;
  F32 operator()(F32 x) const { return div(x, scale); }
};

template <typename Divide>
struct AfterHardSwish {
  Divide divide;
  F32 gain, shift;
  F32 operator()(F32 x) const { return divide(add(mul(hard_swish(x), gain), shift)); }
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
  if (i > kLanes) {
    quantize_four<false>(x, divide, zeros, q);
  } else {
    quantize_few(x, i, divide, zero, q);
  }
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

template <typename Byte>
void quantize_hard_swish(const float* x, int64_t n, float gain, float shift, float scale,
                         int32_t zero, Byte* q) {
  const F32 g = set1(gain);
  const F32 s = set1(shift);
  if (two_products_are_exact(scale)) {
    const Products products{invert(set1(scale))};
    quantize_run<false>(x, n, AfterHardSwish<Products>{products, g, s}, zero, q);
  } else {
    quantize_run<false>(x, n, AfterHardSwish<Quotient>{{set1(scale)}, g, s}, zero, q);
  }
}

bool inverse(float scale, float* reciprocal, float* rest) {
  if (!two_products_are_exact(scale)) return false;
  const Inverse by = invert(set1(scale));
  store_partial(reciprocal, 1, by.reciprocal);
  store_partial(rest, 1, by.rest);
  return true;
}

}  // namespace
}  // namespace pycompress
