// 4x16 tiles of int4 weights for Advanced SIMD without the dot product extension.
//
//                          B step   low halves, 1k     high halves, the next 1k
//                                   b [16 cols]        b [16 cols]
//   A step [4 rows x 2k]
//     row r, broadcast ->           words[r][0..1]     16 sums, 16 bits wide            r = 0..3
//                                   acc[r][0..3]       16 sums, every 32 k
//                                   sum[r][0..3]       float32, once for each block
//
//   8 words + 2 of B + 1 mask + 1 of A = 12 of 32 registers in the inner loop; the rest is touched
//   every 32 k.
//
// smlal multiplies the weights less 8 (-8..7) by A (-127..127): 32 of these products stay within 16
// bits (8 * 127 * 32 = 32512). The 8 that is taken off is what offset accounts for, so without zero
// points acc starts at 0.
#include <arm_neon.h>

#include "gemm/columns_neon.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline int32_t largest_lane(I32 v) { return vmaxvq_s32((int32x4_t)v); }
[[gnu::always_inline]] inline int32_t sum_lanes(I32 v) { return vaddvq_s32((int32x4_t)v); }

}  // namespace
}  // namespace pycompress

#include "int4/tile.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 16, kVectors = kNr / kLanes;
constexpr int64_t kWordDepth = 32;  // k that 16 bits hold

template <int R, bool kZeros>
void gemm_tile_4x16_s4_neon(const Int4Args& args) {
  F32 sum[R][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) sum[r][j] = F32{};
  }
  const int64_t block = args.block;
  const uint8_t* b = static_cast<const uint8_t*>(args.b);
  const char* a[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) a[r] = static_cast<const char*>(args.rows[r]);
  for (int64_t i = 0; i < args.blocks; ++i) {
    const float* scale = reinterpret_cast<const float*>(b);
    b += kNr * 4;
    I32 acc[R][kVectors];
    float a_scale[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Int4Block head;
      __builtin_memcpy(&head, a[r], sizeof(head));
      a[r] += sizeof(head);
      a_scale[r] = head.scale;
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) {
        acc[r][j] = I32{};
        if (kZeros) {  // -(z - 8) * sum(p)
          int32_t bytes;
          __builtin_memcpy(&bytes, b + j * kLanes, sizeof(bytes));
          const uint16x8_t wide = vmovl_u8(vreinterpret_u8_s32(vdup_n_s32(bytes)));
          const I32 zero = (I32)vmovl_u16(vget_low_u16(wide));
          acc[r][j] = ((zero - 8) * head.offset) >> 3;
        }
      }
    }
    if (kZeros) b += int4_zeros_bytes(kNr);
    for (int64_t part = 0; part < block; part += kWordDepth) {
      int16x8_t words[R][2];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) words[r][0] = words[r][1] = vdupq_n_s16(0);
      for (int64_t k = 0; k < kWordDepth; k += 2, b += kNr) {
        const uint8x16_t both = vld1q_u8(b);
        const int8x16_t low =
            vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vdupq_n_s8(8));
        const int8x16_t high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), vdupq_n_s8(8));
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const int8_t* p = reinterpret_cast<const int8_t*>(a[r] + part + k);
          const int8x16_t first = vld1q_dup_s8(p);
          words[r][0] = vmlal_s8(words[r][0], vget_low_s8(low), vget_low_s8(first));
          words[r][1] = vmlal_high_s8(words[r][1], low, first);
          const int8x16_t second = vld1q_dup_s8(p + 1);
          words[r][0] = vmlal_s8(words[r][0], vget_low_s8(high), vget_low_s8(second));
          words[r][1] = vmlal_high_s8(words[r][1], high, second);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
        for (int j = 0; j < kVectors; ++j) {
          const int16x8_t w = words[r][j / 2];
          acc[r][j] += (I32)(j % 2 == 0 ? vmovl_s16(vget_low_s16(w)) : vmovl_high_s16(w));
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      a[r] += block;
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) {
        const float32x4_t both = vmulq_n_f32(vld1q_f32(scale + j * kLanes), a_scale[r]);
        sum[r][j] =
            (F32)vfmaq_f32((float32x4_t)sum[r][j], vcvtq_f32_s32((int32x4_t)acc[r][j]), both);
      }
    }
  }
  finish_f32<R, kVectors>(corner_of(args), Columns<kVectors>(args.col_count), sum);
}

template <int R>
void run(const Int4Args& args) {
  return args.zeros ? gemm_tile_4x16_s4_neon<R, true>(args)
                    : gemm_tile_4x16_s4_neon<R, false>(args);
}

void tile(const Int4Args& args) {
  using Run = void (*)(const Int4Args&);
  static constexpr Run kRows[kMr] = {run<1>, run<2>, run<3>, run<4>};
  kRows[args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_neon;
const Int4Kernels int4_neon = {kMr, kNr, 1, quantize_blocks<4>, tile};

}  // namespace pycompress
