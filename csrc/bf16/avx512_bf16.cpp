// 6x64 and 8x48 tiles of bfloat16 for AVX-512 BF16.
//
//                          B step   b0 [16 cols x 2k]  b1        b2        b3
//   A step [6 rows x 2k]
//     row r, broadcast ->           acc[r][0]          acc[r][1] acc[r][2] acc[r][3]   r = 0..5
//
//   24 accumulators + 4 of B + 1 of A = 29 of 32 zmm registers (8x48: 24 + 3 + 1).
//
// vdpbf16ps adds two products to each float32 sum.
#include <immintrin.h>

#include "gemm/columns_avx512.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kNr = kLanes, kKr = 2;

[[gnu::always_inline]] inline __m512i broadcast2(const uint16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, sizeof(two));
  return _mm512_set1_epi32(two);
}

template <int R, int V>
void gemm_tile_bf16_avx512_bf16(const TileArgs& args) {
  F32 acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = F32{};
  }
  const uint16_t* b = static_cast<const uint16_t*>(args.b);
  const int64_t step = args.panel_bytes / static_cast<int64_t>(sizeof(uint16_t));
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint16_t* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      a[r] = static_cast<const uint16_t*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; k += kKr, b += kNr * kKr) {
      __m512i bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) bv[j] = _mm512_load_si512(b + j * step);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512i av = broadcast2(a[r] + k);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j)
          acc[r][j] = _mm512_dpbf16_ps(acc[r][j], (__m512bh)bv[j], (__m512bh)av);
      }
    }
  }
  finish_f32<R, V>(args, Columns<V>(args.col_count), acc);
}

void gemm_bf16(const StripArgs& args) {
#define PYCOMPRESS_ROW(R)                                              \
  {gemm_tile_bf16_avx512_bf16<R, 1>, gemm_tile_bf16_avx512_bf16<R, 2>, \
   gemm_tile_bf16_avx512_bf16<R, 3>, gemm_tile_bf16_avx512_bf16<R, 4>}
#define PYCOMPRESS_TALL(R)                                              \
  {                                                                     \
    gemm_tile_bf16_avx512_bf16<R, 1>, gemm_tile_bf16_avx512_bf16<R, 2>, \
        gemm_tile_bf16_avx512_bf16<R, 3>, nullptr                       \
  }
  static constexpr Tile kTiles[8][4] = {PYCOMPRESS_ROW(1),  PYCOMPRESS_ROW(2), PYCOMPRESS_ROW(3),
                                        PYCOMPRESS_ROW(4),  PYCOMPRESS_ROW(5), PYCOMPRESS_ROW(6),
                                        PYCOMPRESS_TALL(7), PYCOMPRESS_TALL(8)};
#undef PYCOMPRESS_ROW
#undef PYCOMPRESS_TALL
  run_strip(args, kNr,
            [](int32_t rows, int32_t columns) { return kTiles[rows - 1][(columns - 1) / kLanes]; });
}

void round_avx512_bf16(const float* a, int64_t k, void* rounded) {
  uint16_t* to = static_cast<uint16_t*>(rounded);
  for (int64_t i = 0; i < k; i += 32) {
    const __mmask32 mask = static_cast<__mmask32>(low_bits(k - i));
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), a + i);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), a + i + 16);
    _mm512_mask_storeu_epi16(to + i, mask, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
}

}  // namespace

extern const Bf16Kernel bf16_avx512_bf16;
const Bf16Kernel bf16_avx512_bf16 = {
    "avx512_bf16", kMr, kNr, kKr, 2, round_avx512_bf16, gemm_bf16, {{6, 4}, {8, 3}}};

}  // namespace pycompress
