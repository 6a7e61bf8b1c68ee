// Softmax and LayerNormalization of rows, over the names of pointwise.inc.h.
//
// A row of up to kFewVectors vectors is read once and stays in registers: the number of vectors is
// a template parameter. A longer one is passed over several times, with the same steps of the same
// numbers: how many elements fit into registers changes no bit.

namespace pycompress {
namespace {

constexpr int kFewVectors = 8;

// The last vector of a row holds `left` elements; the other lanes are `rest`.
template <int V>
[[gnu::always_inline]] inline void load_row(const float* x, int64_t left, F32 rest, F32 (&v)[V]) {
#pragma GCC unroll 16
  for (int j = 0; j < V - 1; ++j) v[j] = load(x + j * kLanes);
  const float* last = x + (V - 1) * kLanes;
  v[V - 1] = left == kLanes ? load(last) : keep_first(load_partial(last, left), left, rest);
}

template <int V>
[[gnu::always_inline]] inline void store_row(float* y, int64_t left, const F32 (&v)[V]) {
#pragma GCC unroll 16
  for (int j = 0; j < V - 1; ++j) store(y + j * kLanes, v[j]);
  float* last = y + (V - 1) * kLanes;
  if (left == kLanes) return store(last, v[V - 1]);
  store_partial(last, left, v[V - 1]);
}

// All vectors joined in pairs.
template <int kFirst, int kCount, int V, typename Op>
[[gnu::always_inline]] inline F32 joined(const F32 (&v)[V], const Op& op) {
  if constexpr (kCount == 1) {
    return in_register(v[kFirst]);  // gcc 12 crashes on an array of one, otherwise
  } else {
    constexpr int kHalf = kCount / 2;
    return op(joined<kFirst, kHalf>(v, op), joined<kFirst + kHalf, kCount - kHalf>(v, op));
  }
}

// In the order of sum_of.
template <int V>
[[gnu::always_inline]] inline float total(const F32 (&v)[V]) {
  constexpr int kSums = V < kChains * kParts ? V : kChains * kParts;
  F32 sum[kSums];
#pragma GCC unroll 16
  for (int j = 0; j < kSums; ++j) sum[j] = in_register(v[j]);
#pragma GCC unroll 16
  for (int j = kSums; j < V; ++j) sum[j % kSums] = add(sum[j % kSums], v[j]);
  return total_of(sum);
}

// part = 1 / n
inline float mean_of(double sum, double part) { return static_cast<float>(sum * part); }
inline float inverse_deviation(double squares, double part, float eps) {
  return 1.0f / __builtin_sqrtf(mean_of(squares, part) + eps);
}

// A row that is all -inf, or holds NaN or +inf, is NaN, as the definition gives it: a difference
// from the largest is NaN then, and with it the sum.
template <int V>
void softmax_few(const float* x, int64_t rows, int64_t n, int64_t ld, float* y) {
  const int64_t left = n - (V - 1) * kLanes;
  const F32 least = set1(-__builtin_inff());
  for (int64_t r = 0; r < rows; ++r, x += ld, y += ld) {
    F32 v[V];
    load_row<V>(x, left, least, v);
    const F32 top = set1(reduce_max(joined<0, V>(v, [](F32 a, F32 b) { return max(a, b); })));
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[j] = exp_of_negative(sub(v[j], top));
    const F32 scale = set1(1.0f / total<V>(v));
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[j] = mul(v[j], scale);
    store_row<V>(y, left, v);
  }
}

void softmax_long(const float* x, int64_t rows, int64_t n, int64_t ld, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += ld, y += ld) {
    const F32 top = set1(largest(x, n));
    map(x, n, y, [=](F32 v) { return exp_of_negative(sub(v, top)); });
    const F32 scale = set1(1.0f / static_cast<float>(sum_of(y, n, [](F32 v) { return v; })));
    map(y, n, y, [=](F32 v) { return mul(v, scale); });
  }
}

// The squares are of differences from the mean, so a large mean costs no accuracy.
template <int V>
void layer_norm_few(const float* x, int64_t rows, int64_t n, int64_t ld, const float* gamma,
                    const float* beta, float eps, float* y) {
  const int64_t left = n - (V - 1) * kLanes;
  const F32 zero = set1(0.0f);
  const double part = 1.0 / static_cast<double>(n);
  F32 factor[V];
  F32 shift[V];
#pragma GCC unroll 16
  for (int j = 0; j < V; ++j) {
    factor[j] = set1(1.0f);
    shift[j] = zero;
  }
  if (gamma != nullptr) load_row<V>(gamma, left, zero, factor);
  if (beta != nullptr) load_row<V>(beta, left, zero, shift);
  for (int64_t r = 0; r < rows; ++r, x += ld, y += ld) {
    F32 v[V];
    F32 square[V];
    load_row<V>(x, left, zero, v);
    const F32 mean = set1(mean_of(static_cast<double>(total<V>(v)), part));
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[j] = sub(v[j], mean);
    v[V - 1] = keep_first(v[V - 1], left, zero);
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) square[j] = mul(v[j], v[j]);
    const F32 scale = set1(inverse_deviation(static_cast<double>(total<V>(square)), part, eps));
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[j] = fma(mul(v[j], scale), factor[j], shift[j]);
    store_row<V>(y, left, v);
  }
}

void layer_norm_long(const float* x, int64_t rows, int64_t n, int64_t ld, const float* gamma,
                     const float* beta, float eps, float* y) {
  const double part = 1.0 / static_cast<double>(n);
  const F32 one = set1(1.0f);
  const F32 zero = set1(0.0f);
  for (int64_t r = 0; r < rows; ++r, x += ld, y += ld) {
    const F32 mean = set1(mean_of(sum_of(x, n, [](F32 v) { return v; }), part));
    const double squares = sum_of(x, n, [=](F32 v) { return mul(sub(v, mean), sub(v, mean)); });
    const F32 scale = set1(inverse_deviation(squares, part, eps));
    const auto scaled = [=](F32 v, F32 g, F32 b) { return fma(mul(sub(v, mean), scale), g, b); };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const F32 g = gamma == nullptr ? one : load(gamma + i);
      store(y + i, scaled(load(x + i), g, beta == nullptr ? zero : load(beta + i)));
    }
    if (i == n) continue;
    const int64_t left = n - i;
    const F32 g = gamma == nullptr ? one : load_partial(gamma + i, left);
    const F32 b = beta == nullptr ? zero : load_partial(beta + i, left);
    store_partial(y + i, left, scaled(load_partial(x + i, left), g, b));
  }
}

void softmax(const float* x, int64_t rows, int64_t n, int64_t ld, float* y) {
  static constexpr decltype(&softmax) kFew[kFewVectors] = {
      softmax_few<1>, softmax_few<2>, softmax_few<3>, softmax_few<4>,
      softmax_few<5>, softmax_few<6>, softmax_few<7>, softmax_few<8>};
  if (n == 0) return;
  const int64_t vectors = (n + kLanes - 1) / kLanes;
  (vectors <= kFewVectors ? kFew[vectors - 1] : softmax_long)(x, rows, n, ld, y);
}

void layer_norm(const float* x, int64_t rows, int64_t n, int64_t ld, const float* gamma,
                const float* beta, float eps, float* y) {
  static constexpr decltype(&layer_norm) kFew[kFewVectors] = {
      layer_norm_few<1>, layer_norm_few<2>, layer_norm_few<3>, layer_norm_few<4>,
      layer_norm_few<5>, layer_norm_few<6>, layer_norm_few<7>, layer_norm_few<8>};
  if (n == 0) return;
  const int64_t vectors = (n + kLanes - 1) / kLanes;
  (vectors <= kFewVectors ? kFew[vectors - 1] : layer_norm_long)(x, rows, n, ld, gamma, beta, eps,
                                                                 y);
}

}  // namespace
}  // namespace pycompress
