// 4x8 tiles of int4 weights for the matrix product extension (i8mm).
//
//                             B step   low halves, 8k               high halves, the next 8k
//                                      b0 .. b3 [2 cols x 8k]       b0 .. b3 [2 cols x 8k]
//   A step [2 x 2 rows x 16k]
//     rows 2p and 2p + 1  ->           acc[p][0..3]                 2 x 2 sums each    p = 0..1
//                                      sum[p][0..3]                 float32, once for each block
//
//   8 of acc + 8 of sum + 4 of A + 1 of B and its 2 halves + 1 mask = 24 of 32 registers.
//
// smmla multiplies the weights, which are 0..15, by signed A and adds 8 products to each of 4 sums
// of 32 bits. A single row goes by sdot, whose sums are the two halves of a column's 8k: as many
// products, and half as many sums to scale at the end of a block.
#include <arm_neon.h>

#include "int4/blocks_neon.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kKr = 8;
constexpr int32_t kPanelPairs = kNr / 2;  // of columns
constexpr int64_t kDepth = 2 * kKr;

template <typename Vector, typename Half>
[[gnu::always_inline]] inline Vector twice(const Half* p) {
  int64_t both;
  __builtin_memcpy(&both, p, sizeof(both));
  return (Vector)vdupq_n_s64(both);
}

// ---- one row ------------------------------------------------------------------------------------

struct Sdot {
  [[gnu::always_inline]] static void add(const char* const (&records)[1], const uint8_t* b,
                                         int64_t block, int32x4_t (&acc)[1][kVectors]) {
    const int8_t* p = bytes_of(records[0]);
    int32x4_t halves[kPanelPairs];
#pragma GCC unroll 16
    for (int j = 0; j < kPanelPairs; ++j) halves[j] = vdupq_n_s32(0);
    int64_t k = 0;
    do {
      const int8x16_t first = twice<int8x16_t>(p + k);
      const int8x16_t second = twice<int8x16_t>(p + k + kKr);
#pragma GCC unroll 16
      for (int j = 0; j < kPanelPairs; ++j) {
        const Nibbles q = load_nibbles(b + 2 * j * kKr);
        halves[j] = vdotq_s32(vdotq_s32(halves[j], q.low, first), q.high, second);
      }
      k += kDepth;
      b += kKr * kNr;
    } while (k < block);
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j)
      acc[0][j] = vaddq_s32(acc[0][j], vpaddq_s32(halves[2 * j], halves[2 * j + 1]));
  }
};

template <bool kZeros>
void gemm_tile_1x8_s4_neon_i8mm(const Int4Args& args) {
  run_blocks<1, kZeros, Sdot>(args);
}

// ---- pairs of rows ------------------------------------------------------------------------------

// A vector of what belongs to two rows: the even row's twice, then the odd row's.
[[gnu::always_inline]] inline int32x4_t of_rows(int32_t even, int32_t odd) {
  return vcombine_s32(vdup_n_s32(even), vdup_n_s32(odd));
}
[[gnu::always_inline]] inline float32x4_t of_rows(float even, float odd) {
  return vcombine_f32(vdup_n_f32(even), vdup_n_f32(odd));
}

template <int P, bool kZeros>
[[gnu::always_inline]] inline void start_pairs(const char* const (&records)[2 * P],
                                               const uint8_t* zeros,
                                               int32x4_t (&acc)[P][kPanelPairs]) {
  I32 zero[kVectors];
  if (kZeros) load_zeros(zeros, zero);
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    const int32x4_t offset =
        of_rows(head_of(records[2 * p]).offset, head_of(records[2 * p + 1]).offset);
#pragma GCC unroll 16
    for (int j = 0; j < kPanelPairs; ++j) {
      acc[p][j] = offset;
      if (kZeros) {
        const int64x2_t four = vreinterpretq_s64_s32((int32x4_t)zero[j / 2]);
        const int64x2_t pair = j % 2 == 0 ? vdupq_laneq_s64(four, 0) : vdupq_laneq_s64(four, 1);
        acc[p][j] = vshrq_n_s32(vmulq_s32(vreinterpretq_s32_s64(pair), offset), 3);
      }
    }
  }
}

template <int P>
[[gnu::always_inline]] inline void multiply_pairs(const char* const (&records)[2 * P],
                                                  const uint8_t* b, int64_t block,
                                                  int32x4_t (&acc)[P][kPanelPairs]) {
  int64_t k = 0;
  do {
    int8x16_t first[P], second[P];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const int64x2_t even = vreinterpretq_s64_s8(vld1q_s8(bytes_of(records[2 * p]) + k));
      const int64x2_t odd = vreinterpretq_s64_s8(vld1q_s8(bytes_of(records[2 * p + 1]) + k));
      first[p] = vreinterpretq_s8_s64(vzip1q_s64(even, odd));
      second[p] = vreinterpretq_s8_s64(vzip2q_s64(even, odd));
    }
#pragma GCC unroll 16
    for (int j = 0; j < kPanelPairs; ++j) {
      const Nibbles q = load_nibbles(b + 2 * j * kKr);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
        acc[p][j] = vmmlaq_s32(vmmlaq_s32(acc[p][j], first[p], q.low), second[p], q.high);
    }
    k += kDepth;
    b += kKr * kNr;
  } while (k < block);
}

// The even and the odd row's sums of a pair's 2 x 2.
template <int R, int P>
[[gnu::always_inline]] inline void order(const F32 (&sum)[P][kPanelPairs],
                                         F32 (&rows)[R][kVectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      const int64x2_t left = (int64x2_t)sum[r / 2][2 * j];
      const int64x2_t right = (int64x2_t)sum[r / 2][2 * j + 1];
      rows[r][j] = (F32)(r % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right));
    }
  }
}

template <int R, bool kZeros>
void gemm_tile_4x8_s4_neon_i8mm(const Int4Args& args) {
  constexpr int kPairs = (R + 1) / 2;  // where rows are odd the last one is there twice
  F32 sum[kPairs][kPanelPairs];
#pragma GCC unroll 16
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 16
    for (int j = 0; j < kPanelPairs; ++j) sum[p][j] = F32{};
  }
  const int64_t block = args.block;
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  const char* records[2 * kPairs];
#pragma GCC unroll 16
  for (int r = 0; r < 2 * kPairs; ++r)
    records[r] = static_cast<const char*>(args.rows[r < R ? r : R - 1]);
  for (int64_t i = 0; i < args.blocks; ++i) {
    const float* scale = reinterpret_cast<const float*>(b);
    const uint8_t* zeros = b + kNr * 4;
    b = zeros + (kZeros ? int4_zeros_bytes(kNr) : 0);
    int32x4_t acc[kPairs][kPanelPairs];
    start_pairs<kPairs, kZeros>(records, zeros, acc);
    multiply_pairs<kPairs>(records, b, block, acc);
    b += kNr * block / 2;
    float32x4_t of_a[kPairs];
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p)
      of_a[p] = of_rows(head_of(records[2 * p]).scale, head_of(records[2 * p + 1]).scale);
#pragma GCC unroll 16
    for (int j = 0; j < kPanelPairs; ++j) {
      const auto of_w = twice<float32x4_t>(scale + 2 * j);
#pragma GCC unroll 16
      for (int p = 0; p < kPairs; ++p) {
        const float32x4_t both = vmulq_f32(of_w, of_a[p]);
        sum[p][j] = (F32)vfmaq_f32((float32x4_t)sum[p][j], vcvtq_f32_s32(acc[p][j]), both);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < 2 * kPairs; ++r) records[r] += int4_record(block);
  }
  F32 rows[R][kVectors];
  order<R, kPairs>(sum, rows);
  finish<R>(args, rows);
}

void tile(const Int4Args& args) {
  static constexpr Int4Tiles kTiles = {
      {gemm_tile_1x8_s4_neon_i8mm<false>, gemm_tile_4x8_s4_neon_i8mm<2, false>,
       gemm_tile_4x8_s4_neon_i8mm<3, false>, gemm_tile_4x8_s4_neon_i8mm<4, false>},
      {gemm_tile_1x8_s4_neon_i8mm<true>, gemm_tile_4x8_s4_neon_i8mm<2, true>,
       gemm_tile_4x8_s4_neon_i8mm<3, true>, gemm_tile_4x8_s4_neon_i8mm<4, true>},
  };
  kTiles[args.zeros][args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_neon_i8mm;
const Int4Kernels int4_neon_i8mm = {kMr, kNr, kKr, quantize_blocks<4>, tile};

}  // namespace pycompress
