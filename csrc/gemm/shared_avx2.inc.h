// What the sets on ymm registers share: the 6x16 float32 tile, and the sums of A's rows.
//
//                          B step   b0 [8 cols x 1k]   b1 [8 cols x 1k]
//   A step [6 rows x 1k]
//     row r, broadcast ->           acc[r][0]          acc[r][1]           r = 0..5
//
//   12 accumulators + 2 of B + 1 of A = 15 of 16 ymm registers.
//
// The including file has included gemm/columns_avx2.h and gemm/epilogue.inc.h.
#pragma once
#include <immintrin.h>

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kNr = 16, kVectors = kNr / kLanes;

template <int R, int V>
void gemm_tile_6x16_f32_avx2(const TileArgs& args) {
  F32 acc[R][V];
  prefetch_result<R, V * 32>(args);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = F32{};
  }
  const float* b = static_cast<const float*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] = static_cast<const float*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; ++k, b += kNr) {
      __m256 bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) bv[j] = _mm256_load_ps(b + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m256 av = _mm256_set1_ps(a[r][k]);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) acc[r][j] = _mm256_fmadd_ps(av, bv[j], acc[r][j]);
      }
    }
  }
  finish_f32<R, V>(args, Columns<V>(args.col_count), acc);
}

void gemm_f32(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_6x16_f32_avx2<1, 1>, gemm_tile_6x16_f32_avx2<1, 2>},
      {gemm_tile_6x16_f32_avx2<2, 1>, gemm_tile_6x16_f32_avx2<2, 2>},
      {gemm_tile_6x16_f32_avx2<3, 1>, gemm_tile_6x16_f32_avx2<3, 2>},
      {gemm_tile_6x16_f32_avx2<4, 1>, gemm_tile_6x16_f32_avx2<4, 2>},
      {gemm_tile_6x16_f32_avx2<5, 1>, gemm_tile_6x16_f32_avx2<5, 2>},
      {gemm_tile_6x16_f32_avx2<6, 1>, gemm_tile_6x16_f32_avx2<6, 2>}};
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

void row_sums_avx2(const uint8_t* a, int64_t k, bool is_signed, int32_t* sum) {
  // vpsadbw sums unsigned bytes; signed ones go through a ^ 0x80 = a + 128.
  const uint8_t flip = is_signed ? 0x80 : 0;
  const __m256i flips = _mm256_set1_epi8(static_cast<char>(flip));
  __m256i total = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 32 <= k; i += 32) {
    const __m256i bytes =
        _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i)), flips);
    total = _mm256_add_epi64(total, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
  }
  int64_t rest = _mm256_extract_epi64(total, 0) + _mm256_extract_epi64(total, 1) +
                 _mm256_extract_epi64(total, 2) + _mm256_extract_epi64(total, 3);
  for (; i < k; ++i) rest += static_cast<uint8_t>(a[i] ^ flip);
  *sum = static_cast<int32_t>(rest - (is_signed ? 128 * k : 0));
}

}  // namespace
}  // namespace pycompress
