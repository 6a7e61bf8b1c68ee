// Quantizing by a scale for each row, over the names of a simd/ header.
#pragma once
#include "quantize/quantize_run.inc.h"

namespace pycompress {
namespace {

// Writes whole vectors.
inline void invert_all(const float* scale, int64_t n, float* reciprocal, float* rest) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    const Inverse by = invert(left >= kLanes ? load(scale + i) : load_partial(scale + i, left));
    store(reciprocal + i, by.reciprocal);
    store(rest + i, by.rest);
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
    const float* next = args.next == nullptr ? nullptr : args.next + r * args.ld;
    if (two_products_are_exact(args.scale[r])) {
      const Products products{{set1(reciprocal[at]), set1(rest[at])}};
      quantize_run<kStream>(x, args.n, products, args.zero[r], q, next);
    } else {
      quantize_run<kStream>(x, args.n, Quotient{set1(args.scale[r])}, args.zero[r], q, next);
    }
  }
}

template <typename Byte>
void quantize_rows(const QuantizeArgs& args) {
  if (args.stream) {
    if (!stream_rows<Byte>(args)) quantize_rows<true, Byte>(args);
    streams_done();
  } else {
    quantize_rows<false, Byte>(args);
  }
}

}  // namespace
}  // namespace pycompress
