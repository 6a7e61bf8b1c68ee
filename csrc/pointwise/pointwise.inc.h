// The pointwise kernels of every instruction set, over the names of its simd/ header and of
// simd/elementary.inc.h. The including file gives `table_bytes` itself: looking bytes up is what
// instruction sets differ in most.
#include "simd/hard_swish.inc.h"

namespace pycompress {
namespace {

// y = op(x), a whole vector at a time.
template <typename Op>
inline void map(const float* x, int64_t n, float* y, const Op& op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, op(load(x + i)));
  if (i < n) store_partial(y + i, n - i, op(load_partial(x + i, n - i)));
}

// a > b ? a : b and the like, NaN where either is (ONNX Max and Min).
inline F32 max_or_nan(F32 a, F32 b) { return select(is_nan(a), a, max(a, b)); }
inline F32 min_or_nan(F32 a, F32 b) { return select(is_nan(a), a, min(a, b)); }

void unary(Unary op, const float* x, int64_t n, float alpha, float beta, float* y) {
  const F32 a = set1(alpha);
  const F32 b = set1(beta);
  const F32 zero = set1(0.0f);
  const F32 one = set1(1.0f);
  switch (op) {
    case Unary::identity:
      return map(x, n, y, [](F32 v) { return v; });
    case Unary::abs:
      return map(x, n, y, [](F32 v) { return abs(v); });
    case Unary::neg:
      return map(x, n, y, [](F32 v) { return neg(v); });
    case Unary::relu:
      return map(x, n, y, [=](F32 v) { return max(zero, v); });
    case Unary::leaky_relu:
      return map(x, n, y, [=](F32 v) { return select(less(v, zero), mul(v, a), v); });
    case Unary::clip:
      return map(x, n, y, [=](F32 v) { return clamp(v, a, b); });
    case Unary::sigmoid:
      return map(x, n, y, [](F32 v) { return sigmoid(v); });
    case Unary::hard_sigmoid:
      return map(x, n, y, [=](F32 v) { return ramp(v, a, b); });
    case Unary::hard_swish:
      return map(x, n, y, [](F32 v) { return hard_swish(v); });
    case Unary::silu:
      return map(x, n, y, [](F32 v) { return mul(v, sigmoid(v)); });
    case Unary::tanh:
      return map(x, n, y, [](F32 v) { return tanh(v); });
    case Unary::gelu:
      return map(x, n, y, [](F32 v) { return gelu(v); });
    case Unary::gelu_tanh:
      return map(x, n, y, [](F32 v) { return gelu_tanh(v); });
    case Unary::erf:
      return map(x, n, y, [](F32 v) { return erf(v); });
    case Unary::exp:
      return map(x, n, y, [](F32 v) { return exp(v); });
    case Unary::log:
      return map(x, n, y, [](F32 v) { return log(v); });
    case Unary::sqrt:
      return map(x, n, y, [](F32 v) { return sqrt(v); });
    case Unary::reciprocal:
      return map(x, n, y, [=](F32 v) { return div(one, v); });
    case Unary::square:
      return map(x, n, y, [](F32 v) { return mul(v, v); });
    case Unary::floor:
      return map(x, n, y, [](F32 v) { return floor(v); });
    case Unary::ceil:
      return map(x, n, y, [](F32 v) { return ceil(v); });
    case Unary::round:
      return map(x, n, y, [](F32 v) { return round_even(v); });
    case Unary::sign:
      return map(x, n, y, [=](F32 v) {
        return select(less(zero, v), one, select(less(v, zero), neg(one), v));
      });
    case Unary::softplus:
      return map(x, n, y, [](F32 v) { return softplus(v); });
    case Unary::elu:
      return map(x, n, y, [=](F32 v) {
        return select(less(v, zero), mul(a, expm1_of_negative(min(zero, v))), v);
      });
    // Rare in models (tables of positions), and hard to reduce well: the C library's.
    case Unary::sin:
      for (int64_t i = 0; i < n; ++i) y[i] = __builtin_sinf(x[i]);
      return;
    case Unary::cos:
      for (int64_t i = 0; i < n; ++i) y[i] = __builtin_cosf(x[i]);
      return;
  }
}

template <typename Op>
inline void zip(const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t n, float* y,
                const Op& op) {
  if (a_step != 0 && b_step != 0) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, op(load(a + i), load(b + i)));
    if (i < n) {
      const F32 v = op(load_partial(a + i, n - i), load_partial(b + i, n - i));
      store_partial(y + i, n - i, v);
    }
  } else if (a_step != 0) {
    const F32 right = set1(n > 0 ? *b : 0.0f);
    map(a, n, y, [=](F32 v) { return op(v, right); });
  } else {
    const F32 left = set1(n > 0 ? *a : 0.0f);
    map(b, b_step != 0 ? n : 0, y, [=](F32 v) { return op(left, v); });
    for (int64_t i = 0; b_step == 0 && i < n; ++i)
      map(b, 1, y + i, [=](F32 v) { return op(left, v); });
  }
}

// One exponent for all, as models have it, is mostly a small one; the rest is the C library's,
// which knows the many special cases of pow.
void power(const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t n, float* y) {
  if (n > 0 && a_step != 0 && b_step == 0) {
    if (*b == 1.0f) return map(a, n, y, [](F32 v) { return v; });
    if (*b == 2.0f) return map(a, n, y, [](F32 v) { return mul(v, v); });
    if (*b == 3.0f) return map(a, n, y, [](F32 v) { return mul(mul(v, v), v); });
    if (*b == -1.0f) return map(a, n, y, [](F32 v) { return div(set1(1.0f), v); });
  }
  for (int64_t i = 0; i < n; ++i) y[i] = __builtin_powf(a[i * a_step], b[i * b_step]);
}

void binary(Binary op, const float* a, int64_t a_step, const float* b, int64_t b_step, int64_t n,
            float* y) {
  switch (op) {
    case Binary::add:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return add(p, q); });
    case Binary::sub:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return sub(p, q); });
    case Binary::mul:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return mul(p, q); });
    case Binary::div:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return div(p, q); });
    case Binary::min:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return min_or_nan(p, q); });
    case Binary::max:
      return zip(a, a_step, b, b_step, n, y, [](F32 p, F32 q) { return max_or_nan(p, q); });
    case Binary::pow:
      return power(a, a_step, b, b_step, n, y);
  }
}

// Sums of float32 are made in one order on every instruction set that has vectors, that of four
// chains of 16 lanes: element i of a block goes to lane i mod 16 of chain i / 16 mod 4.
constexpr int kChains = 4;
constexpr int kGroup = kLanes == 1 ? 1 : 16;
constexpr int kParts = kGroup / static_cast<int>(kLanes);  // vectors of a chain

// The chains in pairs, then the vectors of what is left half by half. Of V vectors, in the order of
// the elements, those from 4 * kParts on have been added to the ones before.
template <int kFirst, int kStep, int V>
[[gnu::always_inline]] inline F32 joined_sum(const F32 (&sum)[V]) {
  if constexpr (kStep < kParts) {
    const F32 left = joined_sum<kFirst, 2 * kStep>(sum);
    if constexpr (kFirst + kStep >= V) return left;
    if constexpr (kFirst + kStep < V) return add(left, joined_sum<kFirst + kStep, 2 * kStep>(sum));
  } else {
    F32 all = sum[kFirst];
    if constexpr (kFirst + kParts < V) all = add(all, sum[kFirst + kParts]);
    if constexpr (kFirst + 3 * kParts < V) {
      all = add(all, add(sum[kFirst + 2 * kParts], sum[kFirst + 3 * kParts]));
    } else if constexpr (kFirst + 2 * kParts < V) {
      all = add(all, sum[kFirst + 2 * kParts]);
    }
    return all;
  }
}

// The sum of no more than four chains; never -0, whatever was added to how many zeros.
template <int V>
[[gnu::always_inline]] inline float total_of(const F32 (&sum)[V]) {
  return reduce_add(joined_sum<0, 1>(sum)) + 0.0f;
}

// Sum of op(x): float32 within a block, double across blocks, so that length costs no accuracy.
template <typename Op>
inline double sum_of(const float* x, int64_t n, const Op& op) {
  constexpr int64_t kBlock = 4096;
  constexpr int kVectors = kChains * kParts;
  const F32 zero = set1(0.0f);
  double total = 0.0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = n - start < kBlock ? n : start + kBlock;
    F32 sum[kVectors];
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[j] = zero;
    int64_t i = start;
    for (; i + kChains * kGroup <= end; i += kChains * kGroup) {
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) sum[j] = add(sum[j], op(load(x + i + j * kLanes)));
    }
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      const int64_t left = end - i;
      if (left <= 0) break;
      const F32 v = op(left < kLanes ? load_partial(x + i, left) : load(x + i));
      sum[j] = add(sum[j], left < kLanes ? keep_first(v, left, zero) : v);
      i += kLanes;
    }
    total += static_cast<double>(total_of(sum));
  }
  return total;
}

inline float largest(const float* x, int64_t n) {
  F32 best[kChains];
#pragma GCC unroll 4
  for (int c = 0; c < kChains; ++c) best[c] = set1(-__builtin_inff());
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) best[c] = max_or_nan(best[c], load(x + i + c * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) best[0] = max_or_nan(best[0], load(x + i));
  const F32 all = max_or_nan(max_or_nan(best[0], best[1]), max_or_nan(best[2], best[3]));
  if (any(is_nan(all))) return __builtin_nanf("");
  float result = reduce_max(all);
  for (; i < n; ++i) result = (x[i] > result || x[i] != x[i]) ? x[i] : result;
  return result;
}

inline float smallest(const float* x, int64_t n) {
  F32 best[kChains];
#pragma GCC unroll 4
  for (int c = 0; c < kChains; ++c) best[c] = set1(__builtin_inff());
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) best[c] = min_or_nan(best[c], load(x + i + c * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) best[0] = min_or_nan(best[0], load(x + i));
  const F32 all = min_or_nan(min_or_nan(best[0], best[1]), min_or_nan(best[2], best[3]));
  if (any(is_nan(all))) return __builtin_nanf("");
  float result = reduce_min(all);
  for (; i < n; ++i) result = (x[i] < result || x[i] != x[i]) ? x[i] : result;
  return result;
}

float reduce(Reduce op, const float* x, int64_t n) {
  switch (op) {
    case Reduce::sum:
      return static_cast<float>(sum_of(x, n, [](F32 v) { return v; }));
    case Reduce::max:
      return largest(x, n);
    case Reduce::min:
      return smallest(x, n);
    case Reduce::sum_square:
      return static_cast<float>(sum_of(x, n, [](F32 v) { return mul(v, v); }));
    case Reduce::sum_abs:
      return static_cast<float>(sum_of(x, n, [](F32 v) { return abs(v); }));
  }
  return 0.0f;
}

void reduce_rows(Reduce op, const float* x, int64_t n, float* acc) {
  switch (op) {
    case Reduce::sum:
      return zip(acc, 1, x, 1, n, acc, [](F32 s, F32 v) { return add(s, v); });
    case Reduce::max:
      return zip(acc, 1, x, 1, n, acc, [](F32 s, F32 v) { return max_or_nan(s, v); });
    case Reduce::min:
      return zip(acc, 1, x, 1, n, acc, [](F32 s, F32 v) { return min_or_nan(s, v); });
    case Reduce::sum_square:
      return zip(acc, 1, x, 1, n, acc, [](F32 s, F32 v) { return fma(v, v, s); });
    case Reduce::sum_abs:
      return zip(acc, 1, x, 1, n, acc, [](F32 s, F32 v) { return add(s, abs(v)); });
  }
}

template <bool kProduct, typename Byte>
inline void combine_bytes(const PointwiseKernels::AddArgs& args, const Byte* a, const Byte* b,
                          int64_t n, Byte* y) {
  const F32 a_scale = set1(args.a_scale);
  const F32 b_scale = set1(args.b_scale);
  const I32 a_zero = set1(args.a_zero);
  const I32 b_zero = set1(args.b_zero);
  const I32 y_zero = set1(args.y_zero);
  const Zeros4 zeros = zeros4(args.y_zero);
  // What is beyond these saturates whatever the zero point is, and to_i32 can hold them.
  const F32 lo = set1(args.lo > -1024.0f ? args.lo : -1024.0f);
  const F32 hi = set1(args.hi < 1024.0f ? args.hi : 1024.0f);
  const auto both = [=](I32 p, I32 q) {
    const F32 left = to_f32(sub(p, a_zero));
    const F32 right = to_f32(sub(q, b_zero));
    const F32 v =
        kProduct ? mul(mul(left, right), a_scale) : add(mul(left, a_scale), mul(right, b_scale));
    return to_i32(min(max(v, lo), hi));
  };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const I32 v0 = both(load_i32(a + i), load_i32(b + i));
    const I32 v1 = both(load_i32(a + i + kLanes), load_i32(b + i + kLanes));
    const I32 v2 = both(load_i32(a + i + 2 * kLanes), load_i32(b + i + 2 * kLanes));
    const I32 v3 = both(load_i32(a + i + 3 * kLanes), load_i32(b + i + 3 * kLanes));
    store_sat4<false>(y + i, v0, v1, v2, v3, zeros);
  }
  for (; i + kLanes <= n; i += kLanes) {
    store_sat(y + i, add(both(load_i32(a + i), load_i32(b + i)), y_zero));
  }
  if (i < n) {
    const I32 v = both(load_i32_partial(a + i, n - i), load_i32_partial(b + i, n - i));
    store_sat_partial(y + i, n - i, add(v, y_zero));
  }
}

template <bool kProduct>
void combine_q8(const PointwiseKernels::AddArgs& args, const void* a, const void* b, int64_t n,
                void* y) {
  if (args.is_signed) {
    combine_bytes<kProduct>(args, static_cast<const int8_t*>(a), static_cast<const int8_t*>(b), n,
                            static_cast<int8_t*>(y));
  } else {
    combine_bytes<kProduct>(args, static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b), n,
                            static_cast<uint8_t*>(y));
  }
}

// Plain loops that every compiler turns into byte vectors.
template <typename Byte>
void max_bytes(const Byte* x, int64_t n, Byte* acc) {
  for (int64_t i = 0; i < n; ++i) acc[i] = x[i] > acc[i] ? x[i] : acc[i];
}
template <typename Byte>
void sum_bytes(const Byte* x, int64_t n, int32_t* acc) {
  for (int64_t i = 0; i < n; ++i) acc[i] += x[i];
}

}  // namespace
}  // namespace pycompress

#include "pointwise/rows.inc.h"

namespace pycompress {
namespace {

constexpr PointwiseKernels kPointwiseKernels = {
    unary,
    binary,
    reduce,
    reduce_rows,
    softmax,
    layer_norm,
    table_bytes,
    combine_q8<false>,
    combine_q8<true>,
    max_bytes<uint8_t>,
    max_bytes<int8_t>,
    sum_bytes<uint8_t>,
    sum_bytes<int8_t>,
};

}  // namespace
}  // namespace pycompress
