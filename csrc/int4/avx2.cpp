// 4x8 tiles of int4 weights for AVX2.
//
//                          B step   low halves, 4k     high halves, the next 4k
//                                   b [8 cols]         b [8 cols]
//   A step [4 rows x 8k]
//     row r, broadcast ->           words[r]           16 sums of pairs, 16 bits wide   r = 0..3
//                                   acc[r]             8 sums, every 32 k
//                                   sum[r]             float32, once for each block
//
//   4 words + 2 of B + 1 mask + 1 of A + 1 product = 9 of 16 ymm registers in the inner loop; the
//   rest is touched every 32 k.
//
// vpmaddubsw multiplies the unsigned weights (0..15) by A (-127..127) and adds pairs: at most 3810,
// so that eight of them stay within 16 bits.
#include <immintrin.h>

#include "gemm/columns_avx2.h"
#include "gemm/epilogue.inc.h"
#include "int4/lanes_avx2.inc.h"
#include "int4/tile.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 8;
constexpr int64_t kWordDepth = 32;  // k that 16 bits hold
constexpr int64_t kAhead = 1024;    // bytes of the panel that are asked for early

template <int R, bool kZeros>
void gemm_tile_4x8_s4_avx2(const Int4Args& args) {
  F32 sum[R][1];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r][0] = F32{};
  const __m256i low_half = _mm256_set1_epi8(0x0f);
  const int64_t block = args.block;
  const char* b = static_cast<const char*>(args.b);
  const char* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = static_cast<const char*>(args.rows[r]);
  for (int64_t i = 0; i < args.blocks; ++i) {
    const __m256 w_scale = _mm256_load_ps(reinterpret_cast<const float*>(b));
    b += kNr * 4;
    I32 acc[R];
    float a_scale[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Int4Block head;
      __builtin_memcpy(&head, a[r], sizeof(head));
      a[r] += sizeof(head);
      a_scale[r] = head.scale;
      acc[r] = I32{} + head.offset;
      if (kZeros) {
        const I32 zero =
            (I32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(b)));
        acc[r] = (acc[r] * zero) >> 3;
      }
    }
    if (kZeros) b += int4_zeros_bytes(kNr);
    for (int64_t part = 0; part < block; part += kWordDepth) {
      _mm_prefetch(b + kAhead, _MM_HINT_T0);
      _mm_prefetch(b + kAhead + 64, _MM_HINT_T0);
      __m256i words[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) words[r] = _mm256_setzero_si256();
      for (int64_t k = 0; k < kWordDepth; k += 8, b += kNr * 4) {
        const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(b));
        const __m256i low = _mm256_and_si256(both, low_half);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi32(both, 4), low_half);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          words[r] =
              _mm256_add_epi16(words[r], _mm256_maddubs_epi16(low, broadcast4(a[r] + part + k)));
          words[r] = _mm256_add_epi16(words[r],
                                      _mm256_maddubs_epi16(high, broadcast4(a[r] + part + k + 4)));
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r] += (I32)_mm256_madd_epi16(words[r], _mm256_set1_epi16(1));
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m256 both = _mm256_mul_ps(w_scale, _mm256_set1_ps(a_scale[r]));
      sum[r][0] = _mm256_fmadd_ps(__builtin_convertvector(acc[r], F32), both, sum[r][0]);
      a[r] += block;
    }
  }
  finish_f32<R, 1>(corner_of(args), Columns<1>(args.col_count), sum);
}

template <int R>
void run(const Int4Args& args) {
  return args.zeros ? gemm_tile_4x8_s4_avx2<R, true>(args) : gemm_tile_4x8_s4_avx2<R, false>(args);
}

void tile(const Int4Args& args) {
  using Run = void (*)(const Int4Args&);
  static constexpr Run kRows[kMr] = {run<1>, run<2>, run<3>, run<4>};
  kRows[args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_avx2;
const Int4Kernels int4_avx2 = {kMr, kNr, 4, quantize_blocks<2>, tile};

}  // namespace pycompress
