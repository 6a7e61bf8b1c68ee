// 4x8 tiles of int4 weights for AVX-VNNI.
//
//                          B step   low halves, 4k     high halves, the next 4k
//                                   b [8 cols]         b [8 cols]
//   A step [4 rows x 8k]
//     row r, broadcast ->           acc[r][0]          acc[r][1]                       r = 0..3
//                                   sum[r]  float32, once for each block
//
//   8 accumulators + 4 sums + 2 of B + 1 mask + 1 of A = 16 of 16 ymm registers.
//
// Panels are those of AVX2. vpdpbusd multiplies the unsigned weights (0..15) by A. The sums of both
// halves come together once for each block; one row or two have more of them, which take turns
// along K, or each product would wait for the one before it.
#include <immintrin.h>

#include "gemm/columns_avx2.h"
#include "gemm/epilogue.inc.h"
#include "int4/lanes_avx2.inc.h"
#include "int4/tile.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 8;
constexpr int64_t kAhead = 1024;  // bytes of the panel that are asked for early

// The products of one step with all rows, whose records are read `at` bytes from their starts.
template <int R>
[[gnu::always_inline]] inline void multiply_step(const char* const (&a)[R], int64_t at,
                                                 const char* b, I32 (&low_acc)[R],
                                                 I32 (&high_acc)[R]) {
  const __m256i low_half = _mm256_set1_epi8(0x0f);
  const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(b));
  const __m256i low = _mm256_and_si256(both, low_half);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi32(both, 4), low_half);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    low_acc[r] = (I32)_mm256_dpbusd_avx_epi32((__m256i)low_acc[r], low, broadcast4(a[r] + at));
    high_acc[r] =
        (I32)_mm256_dpbusd_avx_epi32((__m256i)high_acc[r], high, broadcast4(a[r] + at + 4));
  }
}

template <int R, bool kZeros>
void gemm_tile_4x8_s4_avx_vnni(const Int4Args& args) {
  F32 sum[R][1];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r][0] = F32{};
  constexpr int kTurns = R == 1 ? 4 : (R == 2 ? 2 : 1);  // a block has steps for four
  const int64_t block = args.block;
  const char* b = static_cast<const char*>(args.b);
  const char* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = static_cast<const char*>(args.rows[r]);
  int64_t at = 0;  // in the records
  for (int64_t i = 0; i < args.blocks; ++i) {
    const __m256 w_scale = _mm256_load_ps(reinterpret_cast<const float*>(b));
    b += kNr * 4;
    I32 acc[2 * kTurns][R];
#pragma GCC unroll 16
    for (int j = 1; j < 2 * kTurns; ++j) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[j][r] = I32{};
    }
    float a_scale[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Int4Block head;
      __builtin_memcpy(&head, a[r] + at, sizeof(head));
      a_scale[r] = head.scale;
      acc[0][r] = I32{} + head.offset;
      if (kZeros) {
        const I32 zero =
            (I32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(b)));
        acc[0][r] = (acc[0][r] * zero) >> 3;
      }
    }
    if (kZeros) b += int4_zeros_bytes(kNr);
    at += sizeof(Int4Block);
    for (const char* end = b + kNr * block / 2; b != end; b += kTurns * kNr * 4) {
      _mm_prefetch(b + kAhead, _MM_HINT_T0);
      if (kTurns == 4) _mm_prefetch(b + kAhead + 64, _MM_HINT_T0);
#pragma GCC unroll 16
      for (int i = 0; i < kTurns; ++i, at += 8)
        multiply_step<R>(a, at, b + i * kNr * 4, acc[2 * i], acc[2 * i + 1]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m256 both = _mm256_mul_ps(w_scale, _mm256_set1_ps(a_scale[r]));
#pragma GCC unroll 16
      for (int j = 1; j < 2 * kTurns; ++j) acc[0][r] += acc[j][r];
      sum[r][0] = _mm256_fmadd_ps(__builtin_convertvector(acc[0][r], F32), both, sum[r][0]);
    }
  }
  finish_f32<R, 1>(corner_of(args), Columns<1>(args.col_count), sum);
}

template <int R>
void run(const Int4Args& args) {
  return args.zeros ? gemm_tile_4x8_s4_avx_vnni<R, true>(args)
                    : gemm_tile_4x8_s4_avx_vnni<R, false>(args);
}

void tile(const Int4Args& args) {
  using Run = void (*)(const Int4Args&);
  static constexpr Run kRows[kMr] = {run<1>, run<2>, run<3>, run<4>};
  kRows[args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_avx_vnni;
const Int4Kernels int4_avx_vnni = {kMr, kNr, 4, quantize_blocks<2>, tile};

}  // namespace pycompress
