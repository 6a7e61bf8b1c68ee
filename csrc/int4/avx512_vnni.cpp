// 6x32 tiles of int4 weights for AVX-512 VNNI.
//
//                          B step   low halves, 4k        high halves, the next 4k
//                                   b0 [16 cols] b1       b0 [16 cols] b1
//   A step [6 rows x 8k]
//     row r, from memory ->         acc[r][0]    acc[r][1]                          r = 0..5
//                                   sum[r][0]    sum[r][1]  float32, once for each block
//
//   12 accumulators + 12 sums + 4 of B + 1 mask = 29 of 32 zmm registers.
//
// Weights are read once, as 4 bits: two ANDs and a shift make 64 bytes into 128 unsigned operands
// of vpdpbusd, whose signed operand is A, broadcast from memory by the instruction itself. The zero
// point costs nothing: acc starts at -z * sum(p).
#include <immintrin.h>

#include "gemm/columns_avx512.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline int32_t largest_lane(I32 v) {
  return _mm512_reduce_max_epi32((__m512i)v);
}
[[gnu::always_inline]] inline int32_t sum_lanes(I32 v) {
  return _mm512_reduce_add_epi32((__m512i)v);
}

}  // namespace
}  // namespace pycompress

#include "int4/tile.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kNr = 32;
constexpr int64_t kAhead = 1024;  // bytes of the panel that are asked for early

[[gnu::always_inline]] inline __m512i broadcast4(const char* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

template <int R, int V, bool kZeros>
void gemm_tile_6x32_s4_avx512_vnni(const Int4Args& args) {
  F32 sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) sum[r][j] = F32{};
  }
  const __m512i low_half = _mm512_set1_epi8(0x0f);
  const int64_t block = args.block;
  const char* b = static_cast<const char*>(args.b);
  const char* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = static_cast<const char*>(args.rows[r]);
  int64_t at =
      0;  // in the records: one index for all rows, which leaves registers for their starts
  for (int64_t i = 0; i < args.blocks; ++i) {
    const float* scale = reinterpret_cast<const float*>(b);
    const char* zeros = b + kNr * 4;
    b = zeros + (kZeros ? int4_zeros_bytes(kNr) : 0);
    I32 acc[R][V];
    Int4Block head[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      __builtin_memcpy(&head[r], a[r] + at, sizeof(Int4Block));
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) {
        acc[r][j] = I32{} + head[r].offset;
        if (kZeros) {
          const I32 zero = (I32)_mm512_cvtepu8_epi32(
              _mm_load_si128(reinterpret_cast<const __m128i*>(zeros) + j));
          acc[r][j] = (acc[r][j] * zero) >> 3;
        }
      }
    }
    at += sizeof(Int4Block);
    for (const char* end = b + kNr * block / 2; b != end; b += kNr * 4, at += 8) {
      __m512i low[V], high[V];
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) {
        const __m512i both = _mm512_load_si512(b + j * 64);
        low[j] = _mm512_and_si512(both, low_half);
        high[j] = _mm512_and_si512(_mm512_srli_epi32(both, 4), low_half);
      }
      _mm_prefetch(b + kAhead, _MM_HINT_T0);
      if (V > 1) _mm_prefetch(b + kAhead + 64, _MM_HINT_T0);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512i first = broadcast4(a[r] + at);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j)
          acc[r][j] = (I32)_mm512_dpbusd_epi32((__m512i)acc[r][j], low[j], first);
        const __m512i second = broadcast4(a[r] + at + 4);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j)
          acc[r][j] = (I32)_mm512_dpbusd_epi32((__m512i)acc[r][j], high[j], second);
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512 w_scale = _mm512_load_ps(scale + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512 both = w_scale * _mm512_set1_ps(head[r].scale);
        sum[r][j] = _mm512_fmadd_ps(__builtin_convertvector(acc[r][j], F32), both, sum[r][j]);
      }
    }
  }
  finish_f32<R, V>(corner_of(args), Columns<V>(args.col_count), sum);
}

template <int R>
void run(const Int4Args& args) {
  if (args.col_count <= kLanes) {
    return args.zeros ? gemm_tile_6x32_s4_avx512_vnni<R, 1, true>(args)
                      : gemm_tile_6x32_s4_avx512_vnni<R, 1, false>(args);
  }
  return args.zeros ? gemm_tile_6x32_s4_avx512_vnni<R, 2, true>(args)
                    : gemm_tile_6x32_s4_avx512_vnni<R, 2, false>(args);
}

void tile(const Int4Args& args) {
  using Run = void (*)(const Int4Args&);
  static constexpr Run kRows[kMr] = {run<1>, run<2>, run<3>, run<4>, run<5>, run<6>};
  kRows[args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_avx512_vnni;
const Int4Kernels int4_avx512_vnni = {kMr, kNr, 4, quantize_blocks<2>, tile};

}  // namespace pycompress
