// What the 4-bit tiles of AArch64 share: 4 rows by 8 columns of float32 sums, and how a block
// begins and ends around its products.
//
// Weights are taken as they are stored, 0..15, so the dot product of a block starts at what their
// zero point takes off: -z * sum(p), which is offset where z is 8.
#pragma once
#include <arm_neon.h>

#include "gemm/columns_neon.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline int32_t largest_lane(I32 v) { return vmaxvq_s32((int32x4_t)v); }
[[gnu::always_inline]] inline int32_t sum_lanes(I32 v) { return vaddvq_s32((int32x4_t)v); }

}  // namespace
}  // namespace pycompress

#include "int4/tile.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 8, kVectors = kNr / kLanes;

[[gnu::always_inline]] inline Int4Block head_of(const char* record) {
  Int4Block head;
  __builtin_memcpy(&head, record, sizeof(head));
  return head;
}

[[gnu::always_inline]] inline const int8_t* bytes_of(const char* record) {
  return reinterpret_cast<const int8_t*>(record + sizeof(Int4Block));
}

// The zero points of a block's columns.
[[gnu::always_inline]] inline void load_zeros(const uint8_t* zeros, I32 (&to)[kVectors]) {
  const uint16x8_t wide = vmovl_u8(vld1_u8(zeros));
  to[0] = (I32)vmovl_u16(vget_low_u16(wide));
  to[1] = (I32)vmovl_high_u16(wide);
}

template <int R, bool kZeros>
[[gnu::always_inline]] inline void start_block(const char* const (&records)[R],
                                               const uint8_t* zeros,
                                               int32x4_t (&acc)[R][kVectors]) {
  I32 zero[kVectors];
  if (kZeros) load_zeros(zeros, zero);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const int32_t offset = head_of(records[r]).offset;
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      acc[r][j] = kZeros ? (int32x4_t)((zero[j] * offset) >> 3) : vdupq_n_s32(offset);
    }
  }
}

template <int R>
[[gnu::always_inline]] inline void add_block(const char* const (&records)[R], const float* scale,
                                             const int32x4_t (&acc)[R][kVectors],
                                             F32 (&sum)[R][kVectors]) {
#pragma GCC unroll 16
  for (int j = 0; j < kVectors; ++j) {
    const float32x4_t of_w = vld1q_f32(scale + j * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const float32x4_t both = vmulq_n_f32(of_w, head_of(records[r]).scale);
      sum[r][j] = (F32)vfmaq_f32((float32x4_t)sum[r][j], vcvtq_f32_s32(acc[r][j]), both);
    }
  }
}

// The two halves of 16 bytes of weights.
struct Nibbles {
  int8x16_t low, high;
};
[[gnu::always_inline]] inline Nibbles load_nibbles(const uint8_t* b) {
  const uint8x16_t both = vld1q_u8(b);
  return {vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))),
          vreinterpretq_s8_u8(vshrq_n_u8(both, 4))};
}

// Out of line, so that the loops before it have all registers, whatever the epilogue asks for.
template <int R>
[[gnu::noinline]] void finish(const Int4Args& args, F32 (&sum)[R][kVectors]) {
  F32 v[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) v[r][j] = sum[r][j];
  }
  finish_f32<R, kVectors>(corner_of(args), Columns<kVectors>(args.col_count), v);
}

// Block after block, in order. Products adds those of one: acc[r][8 columns] += p * q, of the
// records' bytes and the panel's.
template <int R, bool kZeros, class Products>
[[gnu::always_inline]] inline void run_blocks(const Int4Args& args) {
  F32 sum[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[r][j] = F32{};
  }
  const int64_t block = args.block;
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  const char* records[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) records[r] = static_cast<const char*>(args.rows[r]);
  for (int64_t i = 0; i < args.blocks; ++i) {
    const float* scale = reinterpret_cast<const float*>(b);
    const uint8_t* zeros = b + kNr * 4;
    b = zeros + (kZeros ? int4_zeros_bytes(kNr) : 0);
    int32x4_t acc[R][kVectors];
    start_block<R, kZeros>(records, zeros, acc);
    Products::add(records, b, block, acc);
    add_block<R>(records, scale, acc, sum);
    b += kNr * block / 2;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) records[r] += int4_record(block);
  }
  F32 rows[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) rows[r][j] = sum[r][j];
  }
  finish<R>(args, rows);
}

// Where a set's tiles are: without zero points and with them, by rows.
using Int4Tile = void (*)(const Int4Args&);
using Int4Tiles = Int4Tile[2][kMr];

}  // namespace
}  // namespace pycompress
