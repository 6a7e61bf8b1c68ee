// 6x64 and 8x48 tiles for AVX-512 VNNI, int8 and float32.
//
//                          B step   b0 [16 cols x 4k]  b1        b2        b3
//   A step [6 rows x 4k]
//     row r, broadcast ->           acc[r][0]          acc[r][1] acc[r][2] acc[r][3]   r = 0..5
//
//   float32: the same, with steps of 1k. A panel is one vector of columns wide, so that a tile is
//   any number of them: four streams of B, or three for 8 rows.
//
//   24 accumulators + 4 of B + 1 of A (+ 1 flip) = 30 of 32 zmm registers (8x48: 24 + 3 + 2).
//
// vpdpbusd multiplies unsigned A by signed B. It wraps rather than saturates, so signed A runs as a
// ^ 0x80 = a + 128, and the epilogue's init takes 128 * sum(b) off again, exactly. Rows and vectors
// of columns are template parameters: an edge tile is the same loop with fewer registers, and only
// the last vector of columns is masked. Where it has no more than 8 columns the products are of its
// lower half, a ymm, of which two take no longer than one zmm.
#include <immintrin.h>

#include "gemm/columns_avx512.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kNr = kLanes;

[[gnu::always_inline]] inline __m512i broadcast4(const uint8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

// Keeps what several rows multiply in registers. For two or three rows gcc would load it again with
// every product, and the load ports, not the products, would set the pace.
template <int R, int kCount, typename Vector, int V>
[[gnu::always_inline]] inline void keep(Vector (&b)[V]) {
  if (R == 1 || R > 3) return;
#pragma GCC unroll 16
  for (int j = 0; j < kCount; ++j) asm("" : "+v"(b[j]));
}

// Rows from which on products leave the load ports time to prefetch.
constexpr int kPrefetchRows = 4;

// The products over all taps. Prefetching costs slots of the load ports: it is another loop.
template <int R, int V, bool kHalf, bool kFlip, bool kPrefetch>
[[gnu::always_inline]] inline void multiply(const TileArgs& args, I32 (&acc)[R][V]) {
  constexpr int kWhole = kHalf ? V - 1 : V;  // vectors
  __m256i half[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) half[r] = _mm512_castsi512_si256((__m512i)acc[r][V - 1]);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  const char* next = static_cast<const char*>(args.next);
  const int64_t step = args.panel_bytes;
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint8_t* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      a[r] = static_cast<const uint8_t*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; k += 4, b += kNr * 4) {
      __m512i bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < kWhole; ++j) bv[j] = _mm512_load_si512(b + j * step);
      __m256i bh[1];
      if (kHalf) bh[0] = _mm256_load_si256(reinterpret_cast<const __m256i*>(b + kWhole * step));
      keep<R, kWhole>(bv);
      keep<R, kHalf ? 1 : 0>(bh);
      if (kPrefetch) {
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) _mm_prefetch(next + j * 64, _MM_HINT_T1);
        next += V * 64;
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        __m512i av = broadcast4(a[r] + k);
        if (kFlip) av = _mm512_xor_si512(av, flip);
#pragma GCC unroll 16
        for (int j = 0; j < kWhole; ++j)
          acc[r][j] = (I32)_mm512_dpbusd_epi32((__m512i)acc[r][j], av, bv[j]);
        if (kHalf) half[r] = _mm256_dpbusd_epi32(half[r], _mm512_castsi512_si256(av), bh[0]);
      }
    }
  }
  if (!kHalf) return;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc[r][V - 1] = (I32)_mm512_zextsi256_si512(half[r]);
}

// One row by one vector of columns: four sums take turns, or each product would wait for the one
// before it.
template <bool kFlip>
[[gnu::always_inline]] inline void multiply_one(const TileArgs& args, I32 (&acc)[1][1]) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(kFlip ? 0x80 : 0));
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  I32 sum[4] = {acc[0][0], I32{}, I32{}, I32{}};
  for (int64_t t = 0; t < args.taps; ++t) {
    const uint8_t* a = static_cast<const uint8_t*>(args.rows[t * args.row_step]);
    int64_t k = 0;
    for (; k + 16 <= args.k; k += 16, b += 4 * kNr * 4) {
#pragma GCC unroll 16
      for (int i = 0; i < 4; ++i) {
        __m512i av = broadcast4(a + k + 4 * i);
        if (kFlip) av = _mm512_xor_si512(av, flip);
        sum[i] = (I32)_mm512_dpbusd_epi32((__m512i)sum[i], av, _mm512_load_si512(b + i * kNr * 4));
      }
    }
    for (; k < args.k; k += 4, b += kNr * 4) {
      __m512i av = broadcast4(a + k);
      if (kFlip) av = _mm512_xor_si512(av, flip);
      sum[0] = (I32)_mm512_dpbusd_epi32((__m512i)sum[0], av, _mm512_load_si512(b));
    }
  }
  acc[0][0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

template <int R, int V, bool kHalf, bool kFlip>
void gemm_tile_s8_avx512_vnni(const TileArgs& args) {
  const Columns<V> columns(args.col_count);
  I32 acc[R][V];
  prefetch_result<R, V * 64>(args);
  start_s32<R, V>(args, columns, acc);
  if constexpr (R == 1 && V == 1) {
    multiply_one<kFlip>(args, acc);
  } else if (R >= kPrefetchRows && args.next != nullptr) {
    multiply<R, V, kHalf, kFlip, true>(args, acc);
  } else {
    multiply<R, V, kHalf, kFlip, false>(args, acc);
  }
  finish_s32<R, V, true>(args, columns, acc);
}

template <int R, int V, bool kHalf, bool kPrefetch>
[[gnu::always_inline]] inline void multiply(const TileArgs& args, F32 (&acc)[R][V]) {
  constexpr int kWhole = kHalf ? V - 1 : V;
  __m256 half[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) half[r] = _mm256_setzero_ps();
  const float* b = static_cast<const float*>(args.b);
  const char* next = static_cast<const char*>(args.next);
  const int64_t step = args.panel_bytes / 4;
  for (int64_t t = 0; t < args.taps; ++t) {
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] = static_cast<const float*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; ++k, b += kNr) {
      __m512 bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < kWhole; ++j) bv[j] = _mm512_load_ps(b + j * step);
      __m256 bh[1];
      if (kHalf) bh[0] = _mm256_load_ps(b + kWhole * step);
      keep<R, kWhole>(bv);
      keep<R, kHalf ? 1 : 0>(bh);
      if (kPrefetch) {
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) _mm_prefetch(next + j * 64, _MM_HINT_T1);
        next += V * 64;
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512 av = _mm512_set1_ps(a[r][k]);
#pragma GCC unroll 16
        for (int j = 0; j < kWhole; ++j) acc[r][j] = _mm512_fmadd_ps(av, bv[j], acc[r][j]);
        if (kHalf) half[r] = _mm256_fmadd_ps(_mm512_castps512_ps256(av), bh[0], half[r]);
      }
    }
  }
  if (!kHalf) return;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc[r][V - 1] = _mm512_zextps256_ps512(half[r]);
}

template <int R, int V, bool kHalf>
void gemm_tile_f32_avx512(const TileArgs& args) {
  F32 acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = F32{};
  }
  prefetch_result<R, V * 64>(args);
  if (R > 1 && args.next != nullptr) {
    multiply<R, V, kHalf, true>(args, acc);
  } else {
    multiply<R, V, kHalf, false>(args, acc);
  }
  finish_f32<R, V>(args, Columns<V>(args.col_count), acc);
}

// A tile for some rows: 1 to 4 vectors, 3 where there are more than 6 rows. One row has no half
// ones: it waits for B.
#define PYCOMPRESS_ROW(R, H)                                                     \
  {PYCOMPRESS_TILE(R, 1, H), PYCOMPRESS_TILE(R, 2, H), PYCOMPRESS_TILE(R, 3, H), \
   PYCOMPRESS_TILE(R, 4, H)}
#define PYCOMPRESS_TALL(R, H) \
  {PYCOMPRESS_TILE(R, 1, H), PYCOMPRESS_TILE(R, 2, H), PYCOMPRESS_TILE(R, 3, H), nullptr}
#define PYCOMPRESS_TILES(H)                                                                     \
  {PYCOMPRESS_ROW(1, false), PYCOMPRESS_ROW(2, H), PYCOMPRESS_ROW(3, H),  PYCOMPRESS_ROW(4, H), \
   PYCOMPRESS_ROW(5, H),     PYCOMPRESS_ROW(6, H), PYCOMPRESS_TALL(7, H), PYCOMPRESS_TALL(8, H)}

using Tiles = Tile[2][8][4];  // whole or half, rows, vectors

[[gnu::always_inline]] inline void run_tiles(const StripArgs& args, const Tiles& tiles) {
  run_strip(args, kNr, [&tiles](int32_t rows, int32_t columns) {
    const bool half = (columns - 1) % kLanes < kLanes / 2;
    return tiles[half ? 1 : 0][rows - 1][(columns - 1) / kLanes];
  });
}

template <bool kFlip>
void gemm_s8(const StripArgs& args) {
#define PYCOMPRESS_TILE(R, V, H) gemm_tile_s8_avx512_vnni<R, V, H, kFlip>
  static constexpr Tiles kTiles = {PYCOMPRESS_TILES(false), PYCOMPRESS_TILES(true)};
#undef PYCOMPRESS_TILE
  run_tiles(args, kTiles);
}

void gemm_f32(const StripArgs& args) {
#define PYCOMPRESS_TILE(R, V, H) gemm_tile_f32_avx512<R, V, H>
  static constexpr Tiles kTiles = {PYCOMPRESS_TILES(false), PYCOMPRESS_TILES(true)};
#undef PYCOMPRESS_TILE
  run_tiles(args, kTiles);
}

#undef PYCOMPRESS_TILES
#undef PYCOMPRESS_TALL
#undef PYCOMPRESS_ROW

void row_sums_avx512_vnni(const uint8_t* a, int64_t k, bool is_signed, int32_t* sum) {
  // A dot product with ones: of a ^ 0x80 where A is signed, minus 128 * k.
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(is_signed ? 0x80 : 0));
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i total = _mm512_setzero_si512();
  for (int64_t i = 0; i < k; i += 64) {
    const __mmask64 mask = low_bits(k - i);
    const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + i), flip);
    total = _mm512_dpbusd_epi32(total, bytes, _mm512_maskz_mov_epi8(mask, ones));
  }
  *sum = _mm512_reduce_add_epi32(total) - (is_signed ? static_cast<int32_t>(128 * k) : 0);
}

}  // namespace

extern const GemmKernels gemm_avx512_vnni;
const GemmKernels gemm_avx512_vnni = {
    {kMr,
     kNr,
     4,
     false,
     gemm_s8<false>,
     gemm_s8<true>,
     nullptr,
     row_sums_avx512_vnni,
     {{6, 4}, {8, 3}}},
    {kMr, kNr, 1, true, gemm_f32, nullptr, nullptr, nullptr, {{6, 4}, {8, 3}}},
};

}  // namespace pycompress
