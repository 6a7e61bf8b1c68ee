// 4x8 tiles of int4 weights for the dot product extension.
//
//                          B step   low halves, 4k             high halves, the next 4k
//                                   b0, b1 [4 cols x 4k]       b0, b1 [4 cols x 4k]
//   A step [4 rows x 16k]
//     row r, by lane    ->          acc[r][0..1]               8 sums
//                                   sum[r][0..1]               float32, once for each block
//
//   8 of acc + 8 of sum + 4 of A + 1 of B and its 2 halves + 1 mask = 24 of 32 registers; a load of
//   A lasts for 2 steps of B.
//
// sdot multiplies the weights, which are 0..15, by signed A and adds four products to 32 bits.
#include <arm_neon.h>

#include "int4/blocks_neon.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kKr = 4;
constexpr int64_t kDepth = 16;  // of one load of A

// 8 steps in depth, of two neighbouring lanes of A.
template <int kLane, int R>
[[gnu::always_inline]] inline void multiply(const uint8_t* b, const int8x16_t (&a)[R],
                                            int32x4_t (&acc)[R][kVectors]) {
#pragma GCC unroll 16
  for (int j = 0; j < kVectors; ++j) {
    const Nibbles q = load_nibbles(b + j * kLanes * kKr);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][j] = vdotq_laneq_s32(acc[r][j], q.low, a[r], kLane);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][j] = vdotq_laneq_s32(acc[r][j], q.high, a[r], kLane + 1);
  }
}

struct Sdot {
  template <int R>
  [[gnu::always_inline]] static void add(const char* const (&records)[R], const uint8_t* b,
                                         int64_t block, int32x4_t (&acc)[R][kVectors]) {
    int64_t k = 0;
    do {
      int8x16_t a[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) a[r] = vld1q_s8(bytes_of(records[r]) + k);
      multiply<0>(b, a, acc);
      multiply<2>(b + kKr * kNr, a, acc);
      k += kDepth;
      b += kDepth * kNr / 2;
    } while (k < block);
  }
};

template <int R, bool kZeros>
void gemm_tile_4x8_s4_neon_dotprod(const Int4Args& args) {
  run_blocks<R, kZeros, Sdot>(args);
}

void tile(const Int4Args& args) {
  static constexpr Int4Tiles kTiles = {
      {gemm_tile_4x8_s4_neon_dotprod<1, false>, gemm_tile_4x8_s4_neon_dotprod<2, false>,
       gemm_tile_4x8_s4_neon_dotprod<3, false>, gemm_tile_4x8_s4_neon_dotprod<4, false>},
      {gemm_tile_4x8_s4_neon_dotprod<1, true>, gemm_tile_4x8_s4_neon_dotprod<2, true>,
       gemm_tile_4x8_s4_neon_dotprod<3, true>, gemm_tile_4x8_s4_neon_dotprod<4, true>},
  };
  kTiles[args.zeros][args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_neon_dotprod;
const Int4Kernels int4_neon_dotprod = {kMr, kNr, kKr, quantize_blocks<4>, tile};

}  // namespace pycompress
