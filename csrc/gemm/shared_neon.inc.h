// What the sets of AArch64 have in common in gemm: the 4x16 tiles for float32 and the sums of A's
// rows.
//
//                          B step   b0 [4 cols]  b1 [4 cols]  b2 [4 cols]  b3 [4 cols]
//   A step [4 rows x 4k]
//     row r, by lane  ->            acc[r][0]    acc[r][1]    acc[r][2]    acc[r][3]      r = 0..3
//
//   16 accumulators + 4 of A + 1 of B = 21 of 32 registers. fmla by lane, a step of 1 in depth.
#pragma once
#include <arm_neon.h>

#include "gemm/columns_neon.h"
#include "gemm/epilogue.inc.h"
#include "gemm/strip.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 16, kVectors = kNr / kLanes;

// One step in depth: acc += a[r][lane] * b, over the panel's V vectors of columns.
template <int kLane, int R, int V>
[[gnu::always_inline]] inline void multiply(const float* b, const float32x4_t (&a)[R],
                                            float32x4_t (&acc)[R][V]) {
#pragma GCC unroll 16
  for (int j = 0; j < V; ++j) {
    const float32x4_t bv = vld1q_f32(b + j * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][j] = vfmaq_laneq_f32(acc[r][j], bv, a[r], kLane);
  }
}

template <int R, int V>
void gemm_tile_4x16_f32_neon(const TileArgs& args) {
  float32x4_t acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = vdupq_n_f32(0.0f);
  }
  const float* b = static_cast<const float*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const float* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      rows[r] = static_cast<const float*>(args.rows[t * args.row_step + r]);
    }
    float32x4_t a[R];
    int64_t k = 0;
    for (; k + 4 <= args.k; k += 4, b += 4 * kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = vld1q_f32(rows[r] + k);
      multiply<0>(b, a, acc);
      multiply<1>(b + kNr, a, acc);
      multiply<2>(b + 2 * kNr, a, acc);
      multiply<3>(b + 3 * kNr, a, acc);
    }
    for (; k < args.k; ++k, b += kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = vld1q_dup_f32(rows[r] + k);
      multiply<0>(b, a, acc);
    }
  }
  F32 sums[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) sums[r][j] = (F32)acc[r][j];
  }
  finish_f32<R, V>(args, Columns<V>(args.col_count), sums);
}

void gemm_f32(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_4x16_f32_neon<1, 1>, gemm_tile_4x16_f32_neon<1, 2>, gemm_tile_4x16_f32_neon<1, 3>,
       gemm_tile_4x16_f32_neon<1, 4>},
      {gemm_tile_4x16_f32_neon<2, 1>, gemm_tile_4x16_f32_neon<2, 2>, gemm_tile_4x16_f32_neon<2, 3>,
       gemm_tile_4x16_f32_neon<2, 4>},
      {gemm_tile_4x16_f32_neon<3, 1>, gemm_tile_4x16_f32_neon<3, 2>, gemm_tile_4x16_f32_neon<3, 3>,
       gemm_tile_4x16_f32_neon<3, 4>},
      {gemm_tile_4x16_f32_neon<4, 1>, gemm_tile_4x16_f32_neon<4, 2>, gemm_tile_4x16_f32_neon<4, 3>,
       gemm_tile_4x16_f32_neon<4, 4>},
  };
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

void row_sums_neon(const uint8_t* a, int64_t k, bool is_signed, int32_t* sum) {
  int32_t total = 0;
  int64_t i = 0;
  for (; i + 16 <= k; i += 16) {
    const uint8x16_t bytes = vld1q_u8(a + i);
    total += is_signed ? vaddlvq_s8(vreinterpretq_s8_u8(bytes)) : vaddlvq_u8(bytes);
  }
  for (; i < k; ++i) total += is_signed ? static_cast<int8_t>(a[i]) : a[i];
  *sum = total;
}

constexpr GemmKernel kF32Kernel = {kMr,     kNr,     1,       true,      gemm_f32,
                                   nullptr, nullptr, nullptr, {{kMr, 1}}};

}  // namespace
}  // namespace pycompress
