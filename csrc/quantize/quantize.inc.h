// The quantize kernels of every instruction set, over the names of its simd/ header.
//
// Quantizing divides as ONNX says: quantize_divide.inc.h says how that is done without dividing.
#include "quantize/quantize_divide.inc.h"

namespace pycompress {
namespace {

constexpr int64_t kFour = 4 * kLanes;  // bytes that are stored at once
constexpr int64_t kBlock = 8192;       // columns whose inverses are kept at a time
constexpr int64_t kInL1 = 1536;        // columns whose inverses stay in L1
constexpr int64_t kRowsToInvert = 4;   // inverting costs as much as some rows

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
inline void quantize_run(const float* x, int64_t n, const Divide& divide, int32_t zero, Byte* q) {
  if (n < kFour) {
    quantize_few(x, n, divide, zero, q);
    return;
  }
  // What does not come in fours at the ends is done as fours that overlap others.
  const Zeros4 zeros = zeros4(zero);
  int64_t i = kStream ? until_aligned(static_cast<const void*>(q)) : until_aligned(x);
  if (i > 0) quantize_four<false>(x, divide, zeros, q);
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
      quantize_run<kStream>(x, args.n, products, args.zero[r], q);
    } else {
      quantize_run<kStream>(x, args.n, Quotient{set1(args.scale[r])}, args.zero[r], q);
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

// ---- a scale for each column --------------------------------------------------------------------

template <typename Byte>
inline void divide_by_each(const float* x, int64_t n, const float* scale, const int32_t* zero,
                           Byte* q) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 v = div(load(x + i), load(scale + i));
    store_sat(q + i, add(to_i32_bounded(v), load(zero + i)));
  }
  if (i < n) {
    const int64_t left = n - i;
    // Lanes past the end divide 0 by 0; nothing is stored of them.
    const F32 v = div(load_partial(x + i, left), load_partial(scale + i, left));
    store_sat_partial(q + i, left, add(to_i32_bounded(v), load_partial(zero + i, left)));
  }
}

// What is needed of a block of n columns, those of column i at i + shift, so that they and x are
// aligned at the same columns; after the last come the first again, for vectors that go on into the
// next row.
struct Columns {
  alignas(64) float reciprocal[kBlock + kFour + kLanes];
  alignas(64) float rest[kBlock + kFour + kLanes];
  alignas(64) int32_t zero[kBlock + kFour + kLanes];
  int64_t n, shift;
  bool one_zero;

  Inverse inverse(int64_t i) const {
    return {load(reciprocal + shift + i), load(rest + shift + i)};
  }
  I32 zeros(int64_t i) const { return load(zero + shift + i); }
};

// False where one of the scales has to divide. The first `lead` elements come before x is aligned.
inline bool describe_columns(const float* scale, const int32_t* zero, int64_t n, int64_t lead,
                             Columns* by) {
  bool exact = true;
  bool one_zero = true;
  for (int64_t i = 0; i < n; ++i) {
    exact = exact & two_products_are_exact(scale[i]);
    one_zero = one_zero & (zero[i] == zero[0]);
  }
  if (!exact) return false;
  by->n = n;
  by->shift = (kLanes - lead % kLanes) % kLanes;
  by->one_zero = one_zero;
  float* reciprocal = by->reciprocal + by->shift;
  float* rest = by->rest + by->shift;
  int32_t* zeros = by->zero + by->shift;
  invert_all(scale, n, reciprocal, rest);
  for (int64_t i = 0; i < n; ++i) zeros[i] = zero[i];
  for (int64_t i = 0; i < kFour; ++i) {
    reciprocal[n + i] = reciprocal[i];
    rest[n + i] = rest[i];
    zeros[n + i] = zeros[i];
  }
  return true;
}

// Elements [i, end) of a run that begins in the first column, fewer than four vectors.
template <typename Byte>
inline void quantize_few_columns(const float* x, int64_t i, int64_t end, const Columns& by,
                                 Byte* q) {
  int64_t column = i % by.n;
  for (; i + kLanes <= end; i += kLanes) {
    const F32 v = times(load(x + i), by.inverse(column));
    store_sat(q + i, add(to_i32_bounded(v), by.zeros(column)));
    column += kLanes;
  }
  if (i < end) {
    const F32 v = times(load_partial(x + i, end - i), by.inverse(column));
    store_sat_partial(q + i, end - i, add(to_i32_bounded(v), by.zeros(column)));
  }
}

// kRuns runs of `count` elements, `apart` from each other, from the first column on and through as
// many rows as they are long. Each is read in order, and they share what is loaded of the columns.
template <int kRuns, bool kStream, bool kOneZero, typename Byte>
inline void quantize_runs(const float* x, int64_t count, int64_t apart, int64_t lead,
                          const Columns& by, Byte* q) {
  const int64_t first = least(lead, count);
  int64_t i = first;
  int64_t column = i % by.n;
  Zeros4 zeros = zeros4(by.zero[by.shift]);
  for (; i + kFour <= count; i += kFour) {
    const Inverse at0 = by.inverse(column);
    const Inverse at1 = by.inverse(column + kLanes);
    const Inverse at2 = by.inverse(column + 2 * kLanes);
    const Inverse at3 = by.inverse(column + 3 * kLanes);
    if (!kOneZero) {
      zeros = zeros4(by.zeros(column), by.zeros(column + kLanes), by.zeros(column + 2 * kLanes),
                     by.zeros(column + 3 * kLanes));
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRuns; ++r) {
      const float* from = x + r * apart + i;
      const I32 a = to_i32(bounded(times(load(from), at0)));
      const I32 b = to_i32(bounded(times(load(from + kLanes), at1)));
      const I32 c = to_i32(bounded(times(load(from + 2 * kLanes), at2)));
      const I32 d = to_i32(bounded(times(load(from + 3 * kLanes), at3)));
      store_sat4<kStream>(q + r * apart + i, a, b, c, d, zeros);
    }
    column += kFour;
    column = column >= by.n ? column - by.n : column;
  }
  for (int r = 0; r < kRuns; ++r) {
    quantize_few_columns(x + r * apart, 0, first, by, q + r * apart);
    quantize_few_columns(x + r * apart, i, count, by, q + r * apart);
  }
}

template <int kRuns, bool kStream, typename Byte>
inline void quantize_runs(const float* x, int64_t count, int64_t apart, int64_t lead,
                          const Columns& by, Byte* q) {
  if (by.one_zero) {
    quantize_runs<kRuns, kStream, true>(x, count, apart, lead, by, q);
  } else {
    quantize_runs<kRuns, kStream, false>(x, count, apart, lead, by, q);
  }
}

template <bool kStream, typename Byte>
inline void quantize_by_columns(const float* x, int64_t rows, int64_t ld, int64_t lead,
                                const Columns& by, Byte* q) {
  // Rows without gaps are one run.
  const bool joined = ld == by.n && by.n >= kFour;
  if (joined && by.n <= kInL1) {
    quantize_runs<1, kStream>(x, rows * ld, 0, lead, by, q);
    return;
  }
  const int64_t apart = rows / 4;
  const int64_t steps = joined ? 1 : apart;
  for (int64_t r = 0; r < steps; ++r) {
    quantize_runs<4, kStream>(x + r * ld, joined ? apart * ld : by.n, apart * ld, lead, by,
                              q + r * ld);
  }
  for (int64_t r = 4 * apart; r < rows; ++r) {
    quantize_runs<1, kStream>(x + r * ld, by.n, 0, lead, by, q + r * ld);
  }
}

template <typename Byte>
void quantize_columns(const QuantizeArgs& args) {
  Columns by;
  int64_t n = 0;
  for (int64_t start = 0; start < args.n; start += n) {
    n = least(args.n - start, kBlock);
    const float* x = args.x + start;
    auto* q = static_cast<Byte*>(args.q) + start;
    const float* scale = args.scale + start;
    const int32_t* zero = args.zero + start;
    const bool stream = args.stream && args.ld % kFour == 0;
    const int64_t lead = stream ? until_aligned(static_cast<const void*>(q)) : until_aligned(x);
    // Inverting costs as much as some rows.
    if (args.rows < 4 || !describe_columns(scale, zero, n, lead, &by)) {
      for (int64_t r = 0; r < args.rows; ++r) {
        divide_by_each(x + r * args.ld, n, scale, zero, q + r * args.ld);
      }
    } else if (stream) {
      quantize_by_columns<true>(x, args.rows, args.ld, lead, by, q);
    } else {
      quantize_by_columns<false>(x, args.rows, args.ld, lead, by, q);
    }
  }
  if (args.stream) streams_done();
}

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
