// 4x16 int8 tiles for Advanced SIMD without the dot product extension.
//
//                          B step   b [16 cols x 1k], widened to 2 x 8 int16
//   A step [4 rows x 4k]
//     row r, by lane  ->            acc[r][0]  acc[r][1]  acc[r][2]  acc[r][3]    r = 0..3
//
//   16 accumulators + 4 of A + 3 of B = 23 of 32 registers.
//
// Both sides are widened to 16 bits, B as it is loaded, A by the driver once for all panels; smlal
// by lane adds one product to each 32-bit sum: exact for every byte of either sign, and no padding
// in depth.
#include <arm_neon.h>

#include "gemm/shared_neon.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

// One step in depth: acc += a[r][lane] * b, over the panel's V vectors of columns.
template <int kLane, int R, int V>
[[gnu::always_inline]] inline void multiply(const int8_t* b, const int16x4_t (&a)[R],
                                            int32x4_t (&acc)[R][V]) {
  const int8x16_t bytes = vld1q_s8(b);
  const int16x8_t wide[2] = {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      acc[r][j] = j % 2 == 0 ? vmlal_lane_s16(acc[r][j], vget_low_s16(wide[j / 2]), a[r], kLane)
                             : vmlal_high_lane_s16(acc[r][j], wide[j / 2], a[r], kLane);
    }
  }
}

template <int R, int V>
void gemm_tile_4x16_s8_neon(const TileArgs& args) {
  int32x4_t acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = vdupq_n_s32(0);
  }
  const int8_t* b = static_cast<const int8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const int16_t* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      rows[r] = static_cast<const int16_t*>(args.rows[t * args.row_step + r]);
    }
    int16x4_t a[R];
    int64_t k = 0;
    for (; k + 4 <= args.k; k += 4, b += 4 * kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = vld1_s16(rows[r] + k);
      multiply<0>(b, a, acc);
      multiply<1>(b + kNr, a, acc);
      multiply<2>(b + 2 * kNr, a, acc);
      multiply<3>(b + 3 * kNr, a, acc);
    }
    for (; k < args.k; ++k, b += kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = vld1_dup_s16(rows[r] + k);
      multiply<0>(b, a, acc);
    }
  }
  I32 sums[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) sums[r][j] = (I32)acc[r][j];
  }
  finish_s32<R, V>(args, Columns<V>(args.col_count), sums);
}

void gemm_s8(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_4x16_s8_neon<1, 1>, gemm_tile_4x16_s8_neon<1, 2>, gemm_tile_4x16_s8_neon<1, 3>,
       gemm_tile_4x16_s8_neon<1, 4>},
      {gemm_tile_4x16_s8_neon<2, 1>, gemm_tile_4x16_s8_neon<2, 2>, gemm_tile_4x16_s8_neon<2, 3>,
       gemm_tile_4x16_s8_neon<2, 4>},
      {gemm_tile_4x16_s8_neon<3, 1>, gemm_tile_4x16_s8_neon<3, 2>, gemm_tile_4x16_s8_neon<3, 3>,
       gemm_tile_4x16_s8_neon<3, 4>},
      {gemm_tile_4x16_s8_neon<4, 1>, gemm_tile_4x16_s8_neon<4, 2>, gemm_tile_4x16_s8_neon<4, 3>,
       gemm_tile_4x16_s8_neon<4, 4>},
  };
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

void widen_neon(const uint8_t* a, int64_t k, bool is_signed, int16_t* wide) {
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    const uint8x8_t bytes = vld1_u8(a + i);
    vst1q_s16(wide + i, is_signed ? vmovl_s8(vreinterpret_s8_u8(bytes))
                                  : vreinterpretq_s16_u16(vmovl_u8(bytes)));
  }
  for (; i < k; ++i) wide[i] = is_signed ? static_cast<int8_t>(a[i]) : a[i];
}

}  // namespace

extern const GemmKernels gemm_neon;
const GemmKernels gemm_neon = {
    {kMr, kNr, 1, true, gemm_s8, nullptr, widen_neon, row_sums_neon, {{kMr, 1}}},
    kF32Kernel,
};

}  // namespace pycompress
