// 4x16 int8 tiles for the matrix product extension (i8mm).
//
//                             B step   b0 [2 cols x 8k]   b1 [2 cols x 8k]   ..   b7 [2 cols x 8k]
//   A step [2 x 2 rows x 16k]
//     rows 2p and 2p + 1  ->           acc[p][0]          acc[p][1]          ..   acc[p][7]
//
//   16 accumulators + 4 of A + 8 of B = 28 of 32 registers; an accumulator holds 2 rows x 2
//   columns, and a load of A lasts for 2 steps of B.
//
// usmmla adds 8 products of unsigned A by signed B to each of 4 sums of 32 bits, without
// saturating: exact for all bytes. Signed A has its top bit flipped as it is loaded. Where rows are
// odd the last one is there twice.
#include <arm_neon.h>

#include "gemm/shared_neon.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kKr = 8;
constexpr int64_t kDepth = 16;  // of one load of A

template <bool kFlip>
[[gnu::always_inline]] inline uint8x16_t as_unsigned(uint8x16_t a) {
  return kFlip ? veorq_u8(a, vdupq_n_u8(0x80)) : a;
}

// 8 steps in depth: P pairs of rows by 2 V pairs of columns.
template <int P, int V>
[[gnu::always_inline]] inline void multiply(const int8_t* b, const uint8x16_t (&a)[P],
                                            int32x4_t (&acc)[P][2 * V]) {
  int8x16_t bv[2 * V];
#pragma GCC unroll 16
  for (int j = 0; j < 2 * V; ++j) bv[j] = vld1q_s8(b + j * 2 * kKr);
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 16
    for (int j = 0; j < 2 * V; ++j) acc[p][j] = vusmmlaq_s32(acc[p][j], a[p], bv[j]);
  }
}

// The first or the second half of two vectors.
template <bool kSecond>
[[gnu::always_inline]] inline uint8x16_t halves(uint8x16_t x, uint8x16_t y) {
  const uint64x2_t a = vreinterpretq_u64_u8(x);
  const uint64x2_t b = vreinterpretq_u64_u8(y);
  return vreinterpretq_u8_u64(kSecond ? vzip2q_u64(a, b) : vzip1q_u64(a, b));
}

// The sums of R x V vectors of columns: an accumulator's first half is the even row's.
template <int R, int V>
[[gnu::always_inline]] inline void order(const int32x4_t (&acc)[(R + 1) / 2][2 * V],
                                         I32 (&sums)[R][V]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const int64x2_t left = vreinterpretq_s64_s32(acc[r / 2][2 * j]);
      const int64x2_t right = vreinterpretq_s64_s32(acc[r / 2][2 * j + 1]);
      sums[r][j] = (I32)(r % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right));
    }
  }
}

template <int R, int V, bool kFlip>
void gemm_tile_4x16_s8_neon_i8mm(const TileArgs& args) {
  constexpr int kPairs = (R + 1) / 2;
  int32x4_t acc[kPairs][2 * V];
#pragma GCC unroll 16
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 16
    for (int j = 0; j < 2 * V; ++j) acc[p][j] = vdupq_n_s32(0);
  }
  const int8_t* b = static_cast<const int8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint8_t* rows[2 * kPairs];
#pragma GCC unroll 16
    for (int r = 0; r < 2 * kPairs; ++r) {
      rows[r] = static_cast<const uint8_t*>(args.rows[t * args.row_step + (r < R ? r : R - 1)]);
    }
    int64_t k = 0;
    for (; k + kDepth <= args.k; k += kDepth, b += kDepth * kNr) {
      uint8x16_t first[kPairs], second[kPairs];
#pragma GCC unroll 16
      for (int p = 0; p < kPairs; ++p) {
        const uint8x16_t even = as_unsigned<kFlip>(vld1q_u8(rows[2 * p] + k));
        const uint8x16_t odd = as_unsigned<kFlip>(vld1q_u8(rows[2 * p + 1] + k));
        first[p] = halves<false>(even, odd);
        second[p] = halves<true>(even, odd);
      }
      multiply<kPairs, V>(b, first, acc);
      multiply<kPairs, V>(b + kKr * kNr, second, acc);
    }
    for (; k < args.k; k += kKr, b += kKr * kNr) {
      uint8x16_t a[kPairs];
#pragma GCC unroll 16
      for (int p = 0; p < kPairs; ++p) {
        a[p] =
            as_unsigned<kFlip>(vcombine_u8(vld1_u8(rows[2 * p] + k), vld1_u8(rows[2 * p + 1] + k)));
      }
      multiply<kPairs, V>(b, a, acc);
    }
  }
  I32 sums[R][V];
  order<R, V>(acc, sums);
  finish_s32<R, V>(args, Columns<V>(args.col_count), sums);
}

template <bool F>
void gemm_s8(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_4x16_s8_neon_i8mm<1, 1, F>, gemm_tile_4x16_s8_neon_i8mm<1, 2, F>,
       gemm_tile_4x16_s8_neon_i8mm<1, 3, F>, gemm_tile_4x16_s8_neon_i8mm<1, 4, F>},
      {gemm_tile_4x16_s8_neon_i8mm<2, 1, F>, gemm_tile_4x16_s8_neon_i8mm<2, 2, F>,
       gemm_tile_4x16_s8_neon_i8mm<2, 3, F>, gemm_tile_4x16_s8_neon_i8mm<2, 4, F>},
      {gemm_tile_4x16_s8_neon_i8mm<3, 1, F>, gemm_tile_4x16_s8_neon_i8mm<3, 2, F>,
       gemm_tile_4x16_s8_neon_i8mm<3, 3, F>, gemm_tile_4x16_s8_neon_i8mm<3, 4, F>},
      {gemm_tile_4x16_s8_neon_i8mm<4, 1, F>, gemm_tile_4x16_s8_neon_i8mm<4, 2, F>,
       gemm_tile_4x16_s8_neon_i8mm<4, 3, F>, gemm_tile_4x16_s8_neon_i8mm<4, 4, F>},
  };
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

}  // namespace

extern const GemmKernels gemm_neon_i8mm;
const GemmKernels gemm_neon_i8mm = {
    {kMr, kNr, kKr, false, gemm_s8<false>, gemm_s8<true>, nullptr, row_sums_neon, {{kMr, 1}}},
    kF32Kernel,
};

}  // namespace pycompress
