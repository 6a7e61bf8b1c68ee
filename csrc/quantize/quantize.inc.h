// The quantize kernels of every instruction set, over the names of its simd/ header.
//
// Quantizing divides as ONNX says, but a division costs twice what memory does. For a scale s, two
// products give the same bytes: with r = fl(1 / s) and l = fl(1 / s - r),
//
//   q = fma(x, r, fl(x * l))        instead of        q = fl(x / s)
//
// Proof, for s = S * 2^e with 2^23 <= S < 2^24. Only the ties T = k + 1/2 matter, |T| < 256: both
// forms must fall on the same side of T, or on T. fl() moves a real number to T when no further
// from it than a midpoint m = M * 2^f next to T, where M < 2^25 is (2k + 1) * 2^b +- 1 with b
// >= 16. With x = X * 2^g
//
//   x / s - m  =  (X * 2^a - M * S) / S * 2^f,   a >= 23, so X * 2^a - M * S = -+S (mod 2^16)
//
// It is never 0 (the odd part of M exceeds any X). The error of x * r + fl(x * l) is below
// 1.54 * 2^-48 * x / s (l: 2^-49, its product: 2^-48, 1 / s in double: 2^-53), that is
// 1.54 * 2^-48 * M * S < 3.1 on the left's scale. So unless S mod 2^16 is one of +-1, +-2, +-3 the
// error does not reach a midpoint, and a tie is met exactly. Those scales, and the very small and
// large, divide: |l| <= 2^(-e - 25), so that below e = -25 the product x * l of a large x is
// infinite, and has the other sign where l is negative.

namespace pycompress {
namespace {

inline bool two_products_are_exact(float scale) {
  int32_t word;
  __builtin_memcpy(&word, &scale, sizeof word);
  const int32_t exponent = ((word >> 23) & 255) - 127;
  const int32_t low = static_cast<int16_t>(word & 0xffff);
  return kFused && word > 0 && exponent >= -24 && exponent <= 64 &&
         (low == 0 || low > 3 || low < -3);
}

// x / scale, bounded above (where to_i32 needs it), NaN kept or made very small.
struct Products {
  F32 reciprocal, rest, limit;
  explicit Products(float scale) : limit(set1(scale * 1024.0f)) {
    const double exact = 1.0 / static_cast<double>(scale);
    const float r = static_cast<float>(exact);
    reciprocal = set1(r);
    rest = set1(static_cast<float>(exact - static_cast<double>(r)));
  }
  // +inf is bounded before the products: inf - inf. -inf may become NaN, which is the low end as
  // well.
  F32 operator()(F32 x) const {
    x = min(limit, x);
    return fma(x, reciprocal, mul(x, rest));
  }
};

struct Quotient {
  F32 scale;
  explicit Quotient(float s) : scale(set1(s)) {}
  F32 operator()(F32 x) const { return min(set1(1024.0f), div(x, scale)); }
};

// NaN and what is far below end at -1024, so that a zero point can be added without wrapping.
inline I32 to_i32_bounded(F32 v) { return to_i32(max(v, set1(-1024.0f))); }

template <typename Byte, typename Divide>
inline void quantize_by_one(const float* x, int64_t n, const Divide& divide, int32_t zero,
                            Byte* q) {
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const I32 a = to_i32(divide(load(x + i)));
    const I32 b = to_i32(divide(load(x + i + kLanes)));
    const I32 c = to_i32(divide(load(x + i + 2 * kLanes)));
    const I32 d = to_i32(divide(load(x + i + 3 * kLanes)));
    store_sat4(q + i, a, b, c, d, zero);
  }
  const I32 zeros = set1(zero);
  for (; i + kLanes <= n; i += kLanes) {
    store_sat(q + i, add(to_i32_bounded(divide(load(x + i))), zeros));
  }
  if (i < n) {
    const F32 v = divide(load_partial(x + i, n - i));
    store_sat_partial(q + i, n - i, add(to_i32_bounded(v), zeros));
  }
}

template <typename Byte>
inline void quantize_by_each(const float* x, int64_t n, const float* scale, const int32_t* zero,
                             Byte* q) {
  const F32 limit = set1(1024.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 v = min(limit, div(load(x + i), load(scale + i)));
    store_sat(q + i, add(to_i32_bounded(v), load(zero + i)));
  }
  if (i < n) {
    const int64_t left = n - i;
    const F32 v = min(limit, div(load_partial(x + i, left), load_partial(scale + i, left)));
    store_sat_partial(q + i, left, add(to_i32_bounded(v), load_partial(zero + i, left)));
  }
}

template <typename Byte>
void quantize(const float* x, int64_t n, const float* scale, const int32_t* zero, int64_t step,
              Byte* q) {
  if (step != 0) {
    quantize_by_each(x, n, scale, zero, q);
  } else if (two_products_are_exact(*scale)) {
    quantize_by_one(x, n, Products(*scale), *zero, q);
  } else {
    quantize_by_one(x, n, Quotient(*scale), *zero, q);
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

constexpr QuantizeKernels kQuantizeKernels = {
    quantize<uint8_t>,  quantize<int8_t>,    dequantize<uint8_t>,
    dequantize<int8_t>, dequantize<int32_t>, range,
    range_rows,
};

}  // namespace
}  // namespace pycompress
