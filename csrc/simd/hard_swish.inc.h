// Bounds and the functions that are made of them, over the names that a simd/ header gave before.
#pragma once

namespace pycompress {
namespace {

// Bounds are first operands: NaN passes.
inline F32 clamp(F32 x, F32 lo, F32 hi) { return min(hi, max(lo, x)); }

// alpha x + beta in [0, 1], rounded at each step so that it is the same number everywhere.
inline F32 ramp(F32 x, F32 alpha, F32 beta) {
  return clamp(add(mul(x, alpha), beta), set1(0.0f), set1(1.0f));
}

inline F32 hard_swish(F32 x) { return mul(x, ramp(x, set1(1.0f / 6.0f), set1(0.5f))); }

}  // namespace
}  // namespace pycompress
