// 4x16 tiles of bfloat16 for Advanced SIMD: 16 sums + 4 of B + 1 of A = 21 of 32 registers.
#include <arm_neon.h>

#include "gemm/columns_neon.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline F32 widen(const uint16_t* p) {
  return (F32)vshll_n_u16(vld1_u16(p), 16);
}
[[gnu::always_inline]] inline F32 add_product(F32 sum, F32 a, F32 b) {
  return (F32)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b);
}
[[gnu::always_inline]] inline F32 spread(float x) { return (F32)vdupq_n_f32(x); }

}  // namespace
}  // namespace pycompress

#include "bf16/float.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kVectors = 4, kNr = kVectors * kLanes;

void gemm_bf16(const StripArgs& args) {
  static constexpr Tile kTiles[kMr] = {
      gemm_tile_bf16_float<1, kVectors>, gemm_tile_bf16_float<2, kVectors>,
      gemm_tile_bf16_float<3, kVectors>, gemm_tile_bf16_float<4, kVectors>};
  run_strip(args, kNr, [](int32_t rows, int32_t) { return kTiles[rows - 1]; });
}

}  // namespace

extern const Bf16Kernel bf16_neon;
const Bf16Kernel bf16_neon = {"float32 on neon", kMr,       kNr,       1, 4,
                              round_to_float,    gemm_bf16, {{kMr, 1}}};

}  // namespace pycompress
