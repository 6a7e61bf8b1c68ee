// 4x16 int8 tiles for the dot product extension.
//
//                          B step   b0 [4 cols x 4k]  b1 [4 cols x 4k]  b2  ..  b3
//   A step [4 rows x 16k]
//     row r, by lane  ->            acc[r][0]         acc[r][1]         acc[r][2]  acc[r][3]
//
//   16 accumulators + 4 of A + 1 of B = 21 of 32 registers; a load of A lasts for 4 steps of B.
//
// sdot by lane multiplies 4 bytes of a row by 4 of each column and adds the products to 32 bits,
// without saturating: exact for every signed byte. Unsigned A has its top bit flipped as it is
// loaded.
#include <arm_neon.h>

#include "gemm/shared_neon.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kKr = 4;
constexpr int64_t kDepth = 16;  // of one load of A

template <bool kFlip>
[[gnu::always_inline]] inline int8x16_t as_signed(uint8x16_t a) {
  return vreinterpretq_s8_u8(kFlip ? veorq_u8(a, vdupq_n_u8(0x80)) : a);
}

// 4 steps in depth, those of the lane in A's vectors.
template <int kLane, int R, int V>
[[gnu::always_inline]] inline void multiply(const int8_t* b, const int8x16_t (&a)[R],
                                            int32x4_t (&acc)[R][V]) {
#pragma GCC unroll 16
  for (int j = 0; j < V; ++j) {
    const int8x16_t bv = vld1q_s8(b + j * kLanes * kKr);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][j] = vdotq_laneq_s32(acc[r][j], bv, a[r], kLane);
  }
}

template <int R, int V, bool kFlip>
void gemm_tile_4x16_s8_neon_dotprod(const TileArgs& args) {
  int32x4_t acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = vdupq_n_s32(0);
  }
  const int8_t* b = static_cast<const int8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint8_t* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      rows[r] = static_cast<const uint8_t*>(args.rows[t * args.row_step + r]);
    }
    int8x16_t a[R];
    int64_t k = 0;
    for (; k + kDepth <= args.k; k += kDepth, b += kDepth * kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = as_signed<kFlip>(vld1q_u8(rows[r] + k));
      multiply<0>(b, a, acc);
      multiply<1>(b + kKr * kNr, a, acc);
      multiply<2>(b + 2 * kKr * kNr, a, acc);
      multiply<3>(b + 3 * kKr * kNr, a, acc);
    }
    for (; k < args.k; k += kKr, b += kKr * kNr) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        uint32_t word;
        __builtin_memcpy(&word, rows[r] + k, sizeof word);
        a[r] = as_signed<kFlip>(vreinterpretq_u8_u32(vdupq_n_u32(word)));
      }
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

template <bool F>
void gemm_s8(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_4x16_s8_neon_dotprod<1, 1, F>, gemm_tile_4x16_s8_neon_dotprod<1, 2, F>,
       gemm_tile_4x16_s8_neon_dotprod<1, 3, F>, gemm_tile_4x16_s8_neon_dotprod<1, 4, F>},
      {gemm_tile_4x16_s8_neon_dotprod<2, 1, F>, gemm_tile_4x16_s8_neon_dotprod<2, 2, F>,
       gemm_tile_4x16_s8_neon_dotprod<2, 3, F>, gemm_tile_4x16_s8_neon_dotprod<2, 4, F>},
      {gemm_tile_4x16_s8_neon_dotprod<3, 1, F>, gemm_tile_4x16_s8_neon_dotprod<3, 2, F>,
       gemm_tile_4x16_s8_neon_dotprod<3, 3, F>, gemm_tile_4x16_s8_neon_dotprod<3, 4, F>},
      {gemm_tile_4x16_s8_neon_dotprod<4, 1, F>, gemm_tile_4x16_s8_neon_dotprod<4, 2, F>,
       gemm_tile_4x16_s8_neon_dotprod<4, 3, F>, gemm_tile_4x16_s8_neon_dotprod<4, 4, F>},
  };
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

}  // namespace

extern const GemmKernels gemm_neon_dotprod;
const GemmKernels gemm_neon_dotprod = {
    {kMr, kNr, kKr, true, gemm_s8<false>, gemm_s8<true>, nullptr, row_sums_neon, {{kMr, 1}}},
    kF32Kernel,
};

}  // namespace pycompress
