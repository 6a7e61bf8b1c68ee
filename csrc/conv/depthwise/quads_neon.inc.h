// What conv/depthwise/columns.inc.h asks of the sets with dot products, 16 channels at a time. The
// file that includes it gives dot() first.
#pragma once
#include "conv/depthwise/lane_neon.inc.h"

namespace pycompress {
namespace {

constexpr int kParts = 1;
struct WeightBuffer {};

inline const Bytes* widen_weights(const uint8_t* w, int64_t, WeightBuffer&) {
  return reinterpret_cast<const Bytes*>(w);
}

template <bool kFlip>
inline void interleave(const uint8_t* const* rows, int64_t n, Bytes* out) {
  Bytes r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = load_bytes(rows[i], n);
    if (kFlip) r[i] = veorq_u8(r[i], vdupq_n_u8(0x80));
  }
  const auto words = [](Bytes v) { return vreinterpretq_u16_u8(v); };
  const uint16x8_t lo01 = words(vzip1q_u8(r[0], r[1]));
  const uint16x8_t hi01 = words(vzip2q_u8(r[0], r[1]));
  const uint16x8_t lo23 = words(vzip1q_u8(r[2], r[3]));
  const uint16x8_t hi23 = words(vzip2q_u8(r[2], r[3]));
  out[0] = vreinterpretq_u8_u16(vzip1q_u16(lo01, lo23));
  out[1] = vreinterpretq_u8_u16(vzip2q_u16(lo01, lo23));
  out[2] = vreinterpretq_u8_u16(vzip1q_u16(hi01, hi23));
  out[3] = vreinterpretq_u8_u16(vzip2q_u16(hi01, hi23));
}

// A pixel's four sums are enough for the pipes, its epilogue being longer than its products.
template <int kKernel, int kGroups>
int64_t dot_pairs(const Lane&, const Bytes*, const Bytes*, int64_t, int64_t, int64_t) {
  return 0;
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/columns.inc.h"
