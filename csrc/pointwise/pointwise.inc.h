// The pointwise kernels of every instruction set, over the names of its simd/ header and of
// simd/elementary.inc.h. The including file gives `table_bytes` itself: looking bytes up is what
// instruction sets differ in most.

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

// Bounds are first operands: NaN passes.
inline F32 clamp(F32 x, F32 lo, F32 hi) { return min(hi, max(lo, x)); }

// alpha x + beta in [0, 1], rounded at each step so that it is the same number everywhere.
inline F32 ramp(F32 x, F32 alpha, F32 beta) {
  return clamp(add(mul(x, alpha), beta), set1(0.0f), set1(1.0f));
}

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
    case Unary::hard_swish: {
      const F32 sixth = set1(1.0f / 6.0f);
      return map(x, n, y, [=](F32 v) { return mul(v, ramp(v, sixth, set1(0.5f))); });
    }
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

// Sums are made in one order on every instruction set, that of four chains of 16: each takes every
// fourth group of 16 elements while there are 64, the first takes the groups after them, and the
// second what is left.
constexpr int kChains = 4;  // sums that run side by side, to hide the latency of an addition
constexpr int kGroup = 16;
constexpr int kParts = kGroup / static_cast<int>(kLanes);  // vectors of a group

template <typename Op>
inline void add_group(const float* x, const Op& op, F32 (&sum)[kParts]) {
#pragma GCC unroll 16
  for (int p = 0; p < kParts; ++p) sum[p] = add(sum[p], op(load(x + p * kLanes)));
}

// Fewer than a group: what is not there counts as 0, whatever op makes of it.
constexpr float kLane[kGroup] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
template <typename Op>
inline void add_rest(const float* x, int64_t n, const Op& op, F32 (&sum)[kParts]) {
#pragma GCC unroll 16
  for (int p = 0; p < kParts; ++p) {
    const int64_t left = n - p * kLanes;
    if (left <= 0) return;
    const F32 v = op(left < kLanes ? load_partial(x + p * kLanes, left) : load(x + p * kLanes));
    const Mask there = less(load(kLane + p * kLanes), set1(static_cast<float>(n)));
    sum[p] = add(sum[p], select(there, v, set1(0.0f)));
  }
}

// The 64 partial sums of a block, chain by chain and then half by half.
inline float total_of(F32 (&sum)[kChains][kParts]) {
#pragma GCC unroll 16
  for (int p = 0; p < kParts; ++p)
    sum[0][p] = add(add(sum[0][p], sum[1][p]), add(sum[2][p], sum[3][p]));
#pragma GCC unroll 16
  for (int half = kParts / 2; half > 0; half /= 2) {
#pragma GCC unroll 16
    for (int p = 0; p < half; ++p) sum[0][p] = add(sum[0][p], sum[0][p + half]);
  }
  return reduce_add(sum[0][0]);
}

// Sum of op(x): float32 within a block, double across blocks, so that length costs no accuracy.
template <typename Op>
inline double sum_of(const float* x, int64_t n, const Op& op) {
  constexpr int64_t kBlock = 4096;
  double total = 0.0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = n - start < kBlock ? n : start + kBlock;
    F32 sum[kChains][kParts];
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
#pragma GCC unroll 16
      for (int p = 0; p < kParts; ++p) sum[c][p] = set1(0.0f);
    }
    int64_t i = start;
    for (; i + kChains * kGroup <= end; i += kChains * kGroup) {
#pragma GCC unroll 16
      for (int c = 0; c < kChains; ++c) add_group(x + i + c * kGroup, op, sum[c]);
    }
    for (; i + kGroup <= end; i += kGroup) add_group(x + i, op, sum[0]);
    if (i < end) add_rest(x + i, end - i, op, sum[1]);
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

// A row that is all -inf, or holds NaN or +inf, is NaN, as the definition gives it.
void softmax(const float* x, int64_t n, float* y) {
  if (n == 0) return;
  const F32 top = set1(largest(x, n));
  map(x, n, y, [=](F32 v) { return exp(sub(v, top)); });
  const F32 scale = set1(static_cast<float>(1.0 / sum_of(y, n, [](F32 v) { return v; })));
  map(y, n, y, [=](F32 v) { return mul(v, scale); });
}

// Two passes: the squares are of differences from the mean, so a large mean costs no accuracy.
void layer_norm(const float* x, int64_t n, const float* gamma, const float* beta, float eps,
                float* y) {
  if (n == 0) return;
  const double count = static_cast<double>(n);
  const F32 mean = set1(static_cast<float>(sum_of(x, n, [](F32 v) { return v; }) / count));
  const double variance =
      sum_of(x, n, [=](F32 v) { return mul(sub(v, mean), sub(v, mean)); }) / count;
  const F32 scale =
      set1(static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(eps))));
  map(x, n, y, [=](F32 v) { return mul(sub(v, mean), scale); });
  if (gamma != nullptr) zip(y, 1, gamma, 1, n, y, [](F32 v, F32 g) { return mul(v, g); });
  if (beta != nullptr) zip(y, 1, beta, 1, n, y, [](F32 v, F32 b) { return add(v, b); });
}

template <typename Byte>
inline void add_bytes(const PointwiseKernels::AddArgs& args, const Byte* a, const Byte* b,
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
  const auto sum = [=](I32 p, I32 q) {
    const F32 v = add(mul(to_f32(sub(p, a_zero)), a_scale), mul(to_f32(sub(q, b_zero)), b_scale));
    return to_i32(min(max(v, lo), hi));
  };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const I32 v0 = sum(load_i32(a + i), load_i32(b + i));
    const I32 v1 = sum(load_i32(a + i + kLanes), load_i32(b + i + kLanes));
    const I32 v2 = sum(load_i32(a + i + 2 * kLanes), load_i32(b + i + 2 * kLanes));
    const I32 v3 = sum(load_i32(a + i + 3 * kLanes), load_i32(b + i + 3 * kLanes));
    store_sat4<false>(y + i, v0, v1, v2, v3, zeros);
  }
  for (; i + kLanes <= n; i += kLanes) {
    store_sat(y + i, add(sum(load_i32(a + i), load_i32(b + i)), y_zero));
  }
  if (i < n) {
    const I32 v = sum(load_i32_partial(a + i, n - i), load_i32_partial(b + i, n - i));
    store_sat_partial(y + i, n - i, add(v, y_zero));
  }
}

void add_q8(const PointwiseKernels::AddArgs& args, const void* a, const void* b, int64_t n,
            void* y) {
  if (args.is_signed) {
    add_bytes(args, static_cast<const int8_t*>(a), static_cast<const int8_t*>(b), n,
              static_cast<int8_t*>(y));
  } else {
    add_bytes(args, static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b), n,
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

constexpr PointwiseKernels kPointwiseKernels = {
    unary,
    binary,
    reduce,
    reduce_rows,
    softmax,
    layer_norm,
    table_bytes,
    add_q8,
    max_bytes<uint8_t>,
    max_bytes<int8_t>,
    sum_bytes<uint8_t>,
    sum_bytes<int8_t>,
};

}  // namespace
}  // namespace pycompress
