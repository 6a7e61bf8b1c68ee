#include "simd/scalar.h"

#include "kernels.h"
// The names above come first.
#include "simd/elementary.inc.h"

namespace pycompress {
namespace {

void table_bytes(const uint8_t* x, int64_t n, const uint8_t* table, uint8_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace pycompress

#include "pointwise/pointwise.inc.h"

namespace pycompress {

extern const PointwiseKernels pointwise_scalar;
const PointwiseKernels pointwise_scalar = kPointwiseKernels;

}  // namespace pycompress
