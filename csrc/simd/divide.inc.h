// x / scale without dividing, exact where quantizing looks at it.
//
// A division costs twice what memory does. For a scale s, two products give the same bytes: with r
// = 1 / s rounded down to a float32 and l = fl(1 / s - r), which is never negative,
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
// It is never 0 (the odd part of M exceeds any X). For 1 <= s < 2, l is below 2^-24 and off by at
// most 2^-49, and x * l by 2^-48 * x, so q is off by 1.5 * 2^-48 * x before it is rounded, which is
// 1.5 * 2^-71 * S * S * M < 6 on the left's scale; other exponents only move the point. So unless S
// mod 2^16 is one of +-1 .. +-6 the error does not reach a midpoint, and a tie is met exactly.
//
// The other scales are tried at every tie (products_hold_at_ties()): a float two or more from T * s
// is further from it than a midpoint is. About one in seventy of them fails, and divides.
//
// Both products have the sign of x, so infinities and what overflows keep theirs.
#pragma once

namespace pycompress {
namespace {

struct Inverse {
  F32 reciprocal, rest;
};

inline F32 below(F32 positive) { return from_bits(add(bits(positive), set1(int32_t{-1}))); }

inline Inverse invert(F32 scale) {
  const F32 one = set1(1.0f);
  const F32 nearest = div(one, scale);
  const Mask above = less(fma(neg(nearest), scale, one), set1(0.0f));
  const F32 r = select(above, below(nearest), nearest);
  // 1 - r * s fits in 24 bits. Where it is 0, infinity times the rest must not be NaN: the smallest
  // normal number changes nothing.
  const F32 left = div(fma(neg(r), scale, one), scale);
  return {r, max(left, set1(1.17549435e-38f))};
}

inline F32 times(F32 x, const Inverse& by) {
  x = in_register(x);
  return fma(x, by.reciprocal, mul(x, by.rest));
}

__attribute__((noinline)) bool products_hold_at_ties(float scale) {
  const F32 s = set1(scale);
  const Inverse by = invert(s);
  for (int64_t i = 0; i < 256; i += kLanes) {
    float ties[kLanes];
    for (int64_t k = 0; k < kLanes; ++k) ties[k] = static_cast<float>(i + k) + 0.5f;
    const F32 tie = load(ties);
    for (int32_t away = -2; away <= 2; ++away) {
      const F32 x = from_bits(add(bits(mul(tie, s)), set1(away)));
      const F32 wanted = div(x, s);
      const F32 found = times(x, by);
      const F32 one = set1(1.0f);
      const F32 zero = set1(0.0f);
      const F32 side =
          sub(select(less(wanted, tie), one, zero), select(less(tie, wanted), one, zero));
      const F32 ours =
          sub(select(less(found, tie), one, zero), select(less(tie, found), one, zero));
      if (any(less(side, ours)) || any(less(ours, side))) return false;
    }
  }
  return true;
}

inline bool two_products_are_exact(float scale) {
  int32_t word;
  __builtin_memcpy(&word, &scale, sizeof word);
  const int32_t exponent = ((word >> 23) & 255) - 127;
  const int32_t low = static_cast<int16_t>(word & 0xffff);
  if (!kFused || word <= 0 || exponent < -64 || exponent > 64) return false;
  return low == 0 || low > 6 || low < -6 || products_hold_at_ties(scale);
}

inline F32 bounded(F32 v) { return min(set1(1024.0f), v); }  // where to_i32 needs it; NaN stays

// NaN and what is far below end at -1024, so that a zero point can be added without wrapping.
inline I32 to_i32_bounded(F32 v) { return to_i32(max(bounded(v), set1(-1024.0f))); }

}  // namespace
}  // namespace pycompress
