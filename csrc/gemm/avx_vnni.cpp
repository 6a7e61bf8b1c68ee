// 6x16 int8 tile for AVX-VNNI (vpdpbusd on ymm registers, VEX-encoded), and AVX2's float32 tile.
//
//                          B step   b0 [8 cols x 4k]   b1 [8 cols x 4k]
//   A step [6 rows x 4k]
//     row r, broadcast ->           acc[r][0]          acc[r][1]           r = 0..5
//
//   12 accumulators + 2 of B + 1 of A + 1 flip = 16 of 16 ymm registers.
//
// Panels are those of AVX-512 VNNI, and signed A runs as there, as a ^ 0x80. Up to three rows have
// too few sums for two products a cycle of 5 cycles each: they keep two or four sums of each
// element, which take turns along K.
#include <immintrin.h>

#include "gemm/columns_avx2.h"
#include "gemm/epilogue.inc.h"
#include "gemm/shared_avx2.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

template <int R, int V, bool kFlip>
[[gnu::always_inline]] inline void multiply_step(const uint8_t* const (&a)[R], int64_t k,
                                                 const uint8_t* b, I32 (&acc)[R][V]) {
  __m256i bv[V];
#pragma GCC unroll 16
  for (int j = 0; j < V; ++j)
    bv[j] = _mm256_load_si256(reinterpret_cast<const __m256i*>(b + j * 32));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    int32_t four;
    __builtin_memcpy(&four, a[r] + k, sizeof(four));
    __m256i av = _mm256_set1_epi32(four);
    if (kFlip) av = _mm256_xor_si256(av, _mm256_set1_epi8(static_cast<char>(0x80)));
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j)
      acc[r][j] = (I32)_mm256_dpbusd_avx_epi32((__m256i)acc[r][j], av, bv[j]);
  }
}

template <int R, int V, bool kFlip>
void gemm_tile_6x16_s8_avx_vnni(const TileArgs& args) {
  constexpr int kTurns = R == 1 ? 4 : (R <= 3 ? 2 : 1);
  const Columns<V> columns(args.col_count);
  I32 acc[kTurns][R][V];
#pragma GCC unroll 16
  for (int i = 1; i < kTurns; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) acc[i][r][j] = I32{};
    }
  }
  prefetch_result<R, V * 32>(args);
  start_s32<R, V>(args, columns, acc[0]);
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint8_t* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      a[r] = static_cast<const uint8_t*>(args.rows[t * args.row_step + r]);
    int64_t k = 0;
    for (; k + 4 * kTurns <= args.k; k += 4 * kTurns, b += 4 * kTurns * kNr) {
#pragma GCC unroll 16
      for (int i = 0; i < kTurns; ++i)
        multiply_step<R, V, kFlip>(a, k + 4 * i, b + 4 * i * kNr, acc[i]);
    }
    for (; kTurns > 1 && k < args.k; k += 4, b += 4 * kNr)
      multiply_step<R, V, kFlip>(a, k, b, acc[0]);
  }
#pragma GCC unroll 16
  for (int i = 1; i < kTurns; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) acc[0][r][j] += acc[i][r][j];
    }
  }
  finish_s32<R, V, true>(args, columns, acc[0]);
}

template <bool kFlip>
void gemm_s8(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_6x16_s8_avx_vnni<1, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<1, 2, kFlip>},
      {gemm_tile_6x16_s8_avx_vnni<2, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<2, 2, kFlip>},
      {gemm_tile_6x16_s8_avx_vnni<3, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<3, 2, kFlip>},
      {gemm_tile_6x16_s8_avx_vnni<4, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<4, 2, kFlip>},
      {gemm_tile_6x16_s8_avx_vnni<5, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<5, 2, kFlip>},
      {gemm_tile_6x16_s8_avx_vnni<6, 1, kFlip>, gemm_tile_6x16_s8_avx_vnni<6, 2, kFlip>}};
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

}  // namespace

extern const GemmKernels gemm_avx_vnni;
const GemmKernels gemm_avx_vnni = {
    {kMr, kNr, 4, false, gemm_s8<false>, gemm_s8<true>, nullptr, row_sums_avx2, {{kMr, 1}}},
    {kMr, kNr, 1, true, gemm_f32, nullptr, nullptr, nullptr, {{kMr, 1}}},
};

}  // namespace pycompress
