// The quantize kernels of every instruction set, over the names of its simd/ header.
//
// Quantizing divides as ONNX says: divide.inc.h says how that is done without dividing.
#include "quantize/quantize_columns.inc.h"

namespace pycompress {
namespace {

template <typename Byte>
void quantize(const float* x, int64_t n, const float* scale, const int32_t* zero, int64_t step,
              Byte* q) {
  if (step != 0) {
    divide_by_each(x, n, scale, zero, q);
  } else {
    quantize_row(x, n, *scale, *zero, q);
  }
}

inline I32 load_any(const int32_t* p) { return load(p); }
inline I32 load_any(const uint8_t* p) { return load_i32(p); }
inline I32 load_any(const int8_t* p) { return load_i32(p); }
inline I32 load_any_partial(const int32_t* p, int64_t n) { return load_partial(p, n); }
inline I32 load_any_partial(const uint8_t* p, int64_t n) { return load_i32_partial(p, n); }
inline I32 load_any_partial(const int8_t* p, int64_t n) { return load_i32_partial(p, n); }

template <typename Integer>
void dequantize(const Integer* q, int64_t n, const float* scale, const int32_t* zero, int64_t step,
                float* x) {
  int64_t i = 0;
  if (step == 0) {
    const F32 s = set1(*scale);
    const I32 z = set1(*zero);
    for (; i + kLanes <= n; i += kLanes) store(x + i, mul(to_f32(sub(load_any(q + i), z)), s));
    if (i < n) {
      store_partial(x + i, n - i, mul(to_f32(sub(load_any_partial(q + i, n - i), z)), s));
    }
    return;
  }
  for (; i + kLanes <= n; i += kLanes) {
    store(x + i, mul(to_f32(sub(load_any(q + i), load(zero + i))), load(scale + i)));
  }
  if (i < n) {
    const int64_t left = n - i;
    const F32 v = to_f32(sub(load_any_partial(q + i, left), load_partial(zero + i, left)));
    store_partial(x + i, left, mul(v, load_partial(scale + i, left)));
  }
}

// min() and max() give their second operand for NaN, so a NaN in x leaves the range as it is.
void range(const float* x, int64_t n, float* lo, float* hi) {
  constexpr int kChains = 4;
  F32 low[kChains];
  F32 high[kChains];
#pragma GCC unroll 4
  for (int c = 0; c < kChains; ++c) {
    low[c] = set1(__builtin_inff());
    high[c] = set1(-__builtin_inff());
  }
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const F32 v = load(x + i + c * kLanes);
      low[c] = min(v, low[c]);
      high[c] = max(v, high[c]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    const F32 v = load(x + i);
    low[0] = min(v, low[0]);
    high[0] = max(v, high[0]);
  }
  float smallest = reduce_min(min(min(low[0], low[1]), min(low[2], low[3])));
  float largest = reduce_max(max(max(high[0], high[1]), max(high[2], high[3])));
  for (; i < n; ++i) {
    smallest = x[i] < smallest ? x[i] : smallest;
    largest = x[i] > largest ? x[i] : largest;
  }
  *lo = smallest;
  *hi = largest;
}

void range_rows(const float* x, int64_t n, float* lo, float* hi) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 v = load(x + i);
    store(lo + i, min(v, load(lo + i)));
    store(hi + i, max(v, load(hi + i)));
  }
  for (; i < n; ++i) {
    lo[i] = x[i] < lo[i] ? x[i] : lo[i];
    hi[i] = x[i] > hi[i] ? x[i] : hi[i];
  }
}

// The bits of |x|, as integers, are in the order of |x|, and NaN comes after infinity.
inline I32 size_bits(F32 x) { return bits(abs(x)); }

float largest(const float* x, int64_t n) {
  constexpr int kChains = 4;
  I32 most[kChains];
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) most[c] = set1(int32_t{0});
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      most[c] = max(most[c], size_bits(load(x + i + c * kLanes)));
    }
  }
  for (; i + kLanes <= n; i += kLanes) most[0] = max(most[0], size_bits(load(x + i)));
  if (i < n) most[0] = max(most[0], size_bits(load_partial(x + i, n - i)));
  int32_t lanes[kLanes];
  store(lanes, max(max(most[0], most[1]), max(most[2], most[3])));
  int32_t best = 0;
  for (const int32_t lane : lanes) best = lane > best ? lane : best;
  float size;
  __builtin_memcpy(&size, &best, sizeof size);
  return size;
}

// kRows rows, `apart` from each other, share a pass over what was found before.
template <int kRows>
inline void join_largest(const float* x, int64_t n, int64_t apart, float* most) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    I32 best = bits(load(most + i));
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) best = max(best, size_bits(load(x + r * apart + i)));
    store(most + i, from_bits(best));
  }
  if (i < n) {
    I32 best = bits(load_partial(most + i, n - i));
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      best = max(best, size_bits(load_partial(x + r * apart + i, n - i)));
    }
    store_partial(most + i, n - i, from_bits(best));
  }
}

void largest_columns(const float* x, int64_t rows, int64_t n, int64_t ld, float* most) {
  for (int64_t i = 0; i < n; ++i) most[i] = 0.0f;
  const int64_t apart = rows / 4;
  for (int64_t r = 0; r < apart; ++r) join_largest<4>(x + r * ld, n, apart * ld, most);
  for (int64_t r = 4 * apart; r < rows; ++r) join_largest<1>(x + r * ld, n, 0, most);
}

constexpr QuantizeKernels kQuantizeKernels = {
    quantize<uint8_t>,
    quantize<int8_t>,
    quantize_hard_swish<uint8_t>,
    quantize_hard_swish<int8_t>,
    inverse,
    quantize_rows<uint8_t>,
    quantize_rows<int8_t>,
    quantize_columns<uint8_t>,
    quantize_columns<int8_t>,
    dequantize<uint8_t>,
    dequantize<int8_t>,
    dequantize<int32_t>,
    range,
    range_rows,
    largest,
    largest_columns,
};

}  // namespace
}  // namespace pycompress
