#include "simd/neon.h"

#include "kernels.h"
// The names above come first.
#include "simd/elementary.inc.h"

namespace pycompress {
namespace {

// Four tables of 64 bytes: an index outside of one leaves the byte of the ones before.
void table_bytes(const uint8_t* x, int64_t n, const uint8_t* table, uint8_t* y) {
  const uint8x16x4_t t0 = vld1q_u8_x4(table);
  const uint8x16x4_t t1 = vld1q_u8_x4(table + 64);
  const uint8x16x4_t t2 = vld1q_u8_x4(table + 128);
  const uint8x16x4_t t3 = vld1q_u8_x4(table + 192);
  const uint8x16_t step = vdupq_n_u8(64);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    uint8x16_t index = vld1q_u8(x + i);
    uint8x16_t bytes = vqtbl4q_u8(t0, index);
    index = vsubq_u8(index, step);
    bytes = vqtbx4q_u8(bytes, t1, index);
    index = vsubq_u8(index, step);
    bytes = vqtbx4q_u8(bytes, t2, index);
    index = vsubq_u8(index, step);
    vst1q_u8(y + i, vqtbx4q_u8(bytes, t3, index));
  }
  for (; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace pycompress

#include "pointwise/pointwise.inc.h"

namespace pycompress {

extern const PointwiseKernels pointwise_neon;
const PointwiseKernels pointwise_neon = kPointwiseKernels;

}  // namespace pycompress
