// exp, log, tanh, sigmoid, erf, gelu … on vectors, over the names that a simd/ header gave before.
//
// Each is within a few units in the last place of the true value over the whole range (gelu, of x),
// special values included (NaN in, NaN out). Polynomials are our own minimax fits, relative error
// in the comments.

namespace pycompress {
namespace {

// c[0] + c[1] x + ... by Horner's rule.
template <int kTerms>
inline F32 polynomial(const float (&c)[kTerms], F32 x) {
  F32 sum = set1(c[kTerms - 1]);
#pragma GCC unroll 16
  for (int i = kTerms - 2; i >= 0; --i) sum = fma(sum, x, set1(c[i]));
  return sum;
}

// exp(r) = 1 + r + r^2 * P(r) for |r| <= ln(2) / 2; 2e-8 of exp(r) - 1.
constexpr float kExp[] = {0x1.fffffep-2f, 0x1.5554bp-3f, 0x1.555674p-5f, 0x1.122768p-7f,
                          0x1.6bec04p-10f};
// ln(2) in two parts: products of the first with |n| < 2^12 are exact.
constexpr float kLn2Hi = 0x1.62ep-1f;
constexpr float kLn2Lo = 0x1.0bfbe8p-15f;

struct Reduced {
  I32 n;     // x = n ln(2) + r
  F32 tail;  // exp(r) - 1
};

inline Reduced reduce_exp(F32 x) {
  const I32 n = to_i32(mul(x, set1(0x1.715476p+0f)));
  const F32 nf = to_f32(n);
  const F32 r = fma(nf, set1(-kLn2Lo), fma(nf, set1(-kLn2Hi), x));
  return {n, fma(mul(r, r), polynomial(kExp, r), r)};
}

// 2^n for n in [-126, 127].
inline F32 power_of_two(I32 n) { return from_bits(shift_left<23>(add(n, set1(127)))); }

inline F32 exp(F32 x) {
  // Beyond these the result is +inf or 0; the bounds are first operands, so that NaN passes.
  x = max(set1(-104.0f), min(set1(89.0f), x));
  const Reduced e = reduce_exp(x);
  // In two steps, for 2^n itself can leave the range of normal numbers where the result does not.
  const I32 half = shift_right<1>(e.n);
  const F32 value = mul(add(e.tail, set1(1.0f)), power_of_two(half));
  return mul(value, power_of_two(sub(e.n, half)));
}

// exp(x) for x <= 0; 0 where the result would be no normal number.
inline F32 exp_of_negative(F32 x) {
  // Where the bound takes effect n is -127, and the power of two 0.
  const Reduced e = reduce_exp(max(set1(-88.03f), x));
  const F32 scale = power_of_two(e.n);
  return fma(scale, e.tail, scale);
}

// exp(x) - 1 for x <= 0, accurate near 0.
inline F32 expm1_of_negative(F32 x) {
  const Reduced e = reduce_exp(max(set1(-20.0f), x));
  const F32 scale = power_of_two(e.n);
  return fma(scale, e.tail, sub(scale, set1(1.0f)));
}

// (atanh(s) / s - 1) / s^2 in s^2 <= 1/9; 6e-10 of atanh.
constexpr float kAtanh[] = {0x1.555558p-2f, 0x1.9996a6p-3f, 0x1.2509d8p-3f, 0x1.b6cd2ap-4f,
                            0x1.f1d5a2p-4f};

// log(1 + f) = 2 atanh(f / (2 + f)) for f in [-0.3, 1].
inline F32 log1p_reduced(F32 f) {
  const F32 s = div(f, add(f, set1(2.0f)));
  const F32 z = mul(s, s);
  const F32 twice = add(s, s);
  return fma(mul(twice, z), polynomial(kAtanh, z), twice);
}

inline F32 log(F32 x) {
  const Mask tiny = less(x, set1(0x1p-126f));
  const F32 scaled = select(tiny, mul(x, set1(0x1p25f)), x);
  // x = 2^n m with m in [sqrt(1/2), sqrt(2))
  const I32 n = shift_right<23>(sub(bits(scaled), bits(set1(0x1.6a09e6p-1f))));
  const F32 m = from_bits(sub(bits(scaled), shift_left<23>(n)));
  const F32 nf = sub(to_f32(n), select(tiny, set1(25.0f), set1(0.0f)));
  const F32 part = log1p_reduced(sub(m, set1(1.0f)));
  F32 y = fma(nf, set1(kLn2Hi), fma(nf, set1(kLn2Lo), part));
  const F32 infinity = set1(__builtin_inff());
  y = select(less(x, infinity), y, x);  // +inf and NaN as they are
  y = select(equal(x, set1(0.0f)), neg(infinity), y);
  return select(less(x, set1(0.0f)), set1(__builtin_nanf("")), y);
}

inline F32 sigmoid(F32 x) {
  const F32 e = exp_of_negative(neg(abs(x)));
  const F32 one = set1(1.0f);
  return div(select(less(x, set1(0.0f)), e, one), add(e, one));
}

inline F32 tanh(F32 x) {
  const F32 t = expm1_of_negative(mul(abs(x), set1(-2.0f)));
  return copysign(div(t, add(t, set1(2.0f))), x);
}

// log(1 + exp(x))
inline F32 softplus(F32 x) {
  return add(max(set1(0.0f), x), log1p_reduced(exp_of_negative(neg(abs(x)))));
}

// Upper tail of the normal distribution, exp(-t^2 / 2) * P(1 / (1 + 0.3 t)) for t >= 0; P to 8e-8.
constexpr float kTail[] = {0x1.eecdaap-18f, 0x1.e96842p-4f, 0x1.f37cfep-4f,
                           0x1.836bfcp-4f,  0x1.2462bap-3f, -0x1.3abe18p-4f,
                           0x1.d4e588p-3f,  -0x1.5abe5p-3f, 0x1.3aa284p-5f};

inline F32 normal_tail(F32 t) {
  t = min(set1(14.5f), t);  // exp is 0 there
  const F32 u = div(set1(1.0f), fma(t, set1(0.3f), set1(1.0f)));
  return mul(exp_of_negative(mul(mul(t, t), set1(-0.5f))), polynomial(kTail, u));
}

// erf(x) / x in x^2 <= 1; 6e-8.
constexpr float kErf[] = {0x1.20dd74p+0f, -0x1.812688p-2f, 0x1.ce0bbp-4f,
                          -0x1.b5be3p-6f, 0x1.42c04p-8f,   -0x1.28c14ap-11f};

inline F32 erf(F32 x) {
  const F32 size = abs(x);
  const F32 near = mul(x, polynomial(kErf, mul(x, x)));
  const F32 tail = normal_tail(mul(size, set1(0x1.6a09e6p+0f)));
  const F32 far = copysign(fma(tail, set1(-2.0f), set1(1.0f)), x);
  return select(less(size, set1(1.0f)), near, far);
}

// (N(5.25 w) - 1/2) / w in w^2 - 1/2, N the normal distribution function; 8e-8 of N. The argument
// is centred, or terms of a hundred would cancel; for w = 1 the sum is 1/2 to the last bit.
constexpr float kNormal[] = {0x1.69f6e6p-1f, -0x1.68df76p-1f, 0x1.0ae2b6p+0f, -0x1.ab97a4p+0f,
                             0x1.58c144p+1f, -0x1.0cbed8p+2f, 0x1.8a150ep+2f, -0x1.169236p+3f,
                             0x1.86194ap+3f, -0x1.b8667cp+3f, 0x1.419a9ep+3f, -0x1.c85944p+3f,
                             0x1.f52b0ap+4f, -0x1.820218p+4f};
constexpr float kNormalEnd = 5.25f;

// x N(x) to 4e-7 |x|, a layer's activation: one polynomial, no exponential and no division.
inline F32 gelu(F32 x) {
  const F32 one = set1(1.0f);
  const F32 w = min(one, max(set1(-1.0f), mul(x, set1(1.0f / kNormalEnd))));
  const F32 sum = polynomial(kNormal, fma(w, w, set1(-0.5f)));
  return mul(x, fma(w, sum, set1(0.5f)));
}

// 0.5 x (1 + tanh(z)) = x sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3)
inline F32 gelu_tanh(F32 x) {
  const F32 inner = fma(mul(x, x), set1(0.044715f), set1(1.0f));
  return mul(x, sigmoid(mul(mul(x, set1(1.5957691216f)), inner)));
}

}  // namespace
}  // namespace pycompress
