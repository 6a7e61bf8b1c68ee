// 4x8 tiles of int4 weights for Advanced SIMD without the dot product extension.
//
//                          B step   low halves, 2k           high halves, the next 2k
//                                   b [8 cols x 2k]          b [8 cols x 2k]
//   A step [4 rows x 4k]
//     row r, by pairs   ->          words[r][0..1]           16 sums, 16 bits wide       r = 0..3
//                                   acc[r][0..1]             8 sums, every 32 k
//                                   sum[r][0..1]             float32, once for each block
//
//   8 words + 8 of acc + 8 of sum + 1 of B and its 2 halves + 1 mask + 1 of A = 29 of 32 registers.
//
// smlal multiplies bytes into 16 bits. A word is a column's even or odd k: of 32, it takes 16
// products of 0..15 by -127..127, and 15 * 127 * 16 = 30480 fits.
#include <arm_neon.h>

#include "int4/blocks_neon.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kKr = 2;
constexpr int64_t kWordDepth = 32;  // k that 16 bits hold

// The next two bytes, again and again. gcc 12 makes a load to a general register of it, and a move
// from there, which takes a vector pipe.
[[gnu::always_inline]] inline int8x16_t next_pair(const int8_t*& p) {
  int16x8_t pairs;
  __asm__("ld1r {%0.8h}, [%1], #2"
          : "=w"(pairs), "+r"(p)
          : "m"(*reinterpret_cast<const int8_t (*)[2]>(p)));
  return vreinterpretq_s8_s16(pairs);
}

[[gnu::always_inline]] inline void multiply(int8x16_t b, int8x16_t a, int16x8_t (&words)[2]) {
  words[0] = vmlal_s8(words[0], vget_low_s8(b), vget_low_s8(a));
  words[1] = vmlal_high_s8(words[1], b, a);
}

struct Smlal {
  template <int R>
  [[gnu::always_inline]] static void add(const char* const (&records)[R], const uint8_t* b,
                                         int64_t block, int32x4_t (&acc)[R][kVectors]) {
    const int8_t* p[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) p[r] = bytes_of(records[r]);
    int64_t part = 0;
    do {
      int16x8_t words[R][2];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) words[r][0] = words[r][1] = vdupq_n_s16(0);
#pragma GCC unroll 1
      for (int64_t k = 0; k < kWordDepth; k += 2 * kKr, b += kKr * kNr) {
        const Nibbles q = load_nibbles(b);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          multiply(q.low, next_pair(p[r]), words[r]);
          multiply(q.high, next_pair(p[r]), words[r]);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
        for (int j = 0; j < kVectors; ++j) acc[r][j] = vpadalq_s16(acc[r][j], words[r][j]);
      }
      part += kWordDepth;
    } while (part < block);
  }
};

template <int R, bool kZeros>
void gemm_tile_4x8_s4_neon(const Int4Args& args) {
  run_blocks<R, kZeros, Smlal>(args);
}

void tile(const Int4Args& args) {
  static constexpr Int4Tiles kTiles = {
      {gemm_tile_4x8_s4_neon<1, false>, gemm_tile_4x8_s4_neon<2, false>,
       gemm_tile_4x8_s4_neon<3, false>, gemm_tile_4x8_s4_neon<4, false>},
      {gemm_tile_4x8_s4_neon<1, true>, gemm_tile_4x8_s4_neon<2, true>,
       gemm_tile_4x8_s4_neon<3, true>, gemm_tile_4x8_s4_neon<4, true>},
  };
  kTiles[args.zeros][args.row_count - 1](args);
}

}  // namespace

extern const Int4Kernels int4_neon;
const Int4Kernels int4_neon = {kMr, kNr, kKr, quantize_blocks<4>, tile};

}  // namespace pycompress
