// 6x16 tiles for AVX2, int8 and float32 (gemm/shared_avx2.inc.h).
//
//                          B step   b0 [8 cols x 2k]   b1 [8 cols x 2k]
//   A step [6 rows x 2k]
//     row r, broadcast ->           acc[r][0]          acc[r][1]           r = 0..5
//
//   12 accumulators + 2 of B + 1 of A + 1 product = 16 of 16 ymm registers.
//
// Both sides are widened to 16 bits, B as it is loaded, A by the driver once for all panels, and
// vpmaddwd adds pairs of products in 32 bits: exact for every byte of either sign. (vpmaddubsw on
// |a| and b with the sign of a takes one instruction fewer but saturates at b = -128, and vpsignb
// and vpabsb compete with the multiplies: 135 GOP/s where this reaches 180.)
#include <immintrin.h>

#include "gemm/columns_avx2.h"
#include "gemm/epilogue.inc.h"
#include "gemm/shared_avx2.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline __m256i broadcast2(const int16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, sizeof(two));
  return _mm256_set1_epi32(two);
}

[[gnu::always_inline]] inline __m256i load_wide(const int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

template <int R, int V>
void gemm_tile_6x16_s8_avx2(const TileArgs& args) {
  I32 acc[R][V];
  prefetch_result<R, V * 32>(args);
  start_s32<R, V>(args, Columns<V>(args.col_count), acc);
  const int8_t* b = static_cast<const int8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const int16_t* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      a[r] = static_cast<const int16_t*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; k += 2, b += kNr * 2) {
      __m256i bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) bv[j] = load_wide(b + j * 16);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m256i av = broadcast2(a[r] + k);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) acc[r][j] += (I32)_mm256_madd_epi16(av, bv[j]);
      }
    }
  }
  finish_s32<R, V, true>(args, Columns<V>(args.col_count), acc);
}

void gemm_s8(const StripArgs& args) {
  static constexpr Tile kTiles[kMr][kVectors] = {
      {gemm_tile_6x16_s8_avx2<1, 1>, gemm_tile_6x16_s8_avx2<1, 2>},
      {gemm_tile_6x16_s8_avx2<2, 1>, gemm_tile_6x16_s8_avx2<2, 2>},
      {gemm_tile_6x16_s8_avx2<3, 1>, gemm_tile_6x16_s8_avx2<3, 2>},
      {gemm_tile_6x16_s8_avx2<4, 1>, gemm_tile_6x16_s8_avx2<4, 2>},
      {gemm_tile_6x16_s8_avx2<5, 1>, gemm_tile_6x16_s8_avx2<5, 2>},
      {gemm_tile_6x16_s8_avx2<6, 1>, gemm_tile_6x16_s8_avx2<6, 2>}};
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

void widen_avx2(const uint8_t* a, int64_t k, bool is_signed, int16_t* wide) {
  int64_t i = 0;
  for (; i + 16 <= k; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const __m256i words = is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(wide + i), words);
  }
  for (; i < k; ++i) wide[i] = is_signed ? static_cast<int8_t>(a[i]) : a[i];
}

}  // namespace

extern const GemmKernels gemm_avx2;
const GemmKernels gemm_avx2 = {
    {kMr, kNr, 2, true, gemm_s8, nullptr, widen_avx2, row_sums_avx2, {{kMr, 1}}},
    {kMr, kNr, 1, true, gemm_f32, nullptr, nullptr, nullptr, {{kMr, 1}}},
};

}  // namespace pycompress
