// 4x8 tiles of bfloat16 in plain C++: the set that runs anywhere.
#include "gemm/columns_scalar.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline F32 widen(const uint16_t* p) {
  I32 bits;
  for (int i = 0; i < kLanes; ++i)
    bits[i] = static_cast<int32_t>(static_cast<uint32_t>(p[i]) << 16);
  return (F32)bits;
}
[[gnu::always_inline]] inline F32 add_product(F32 sum, F32 a, F32 b) { return sum + a * b; }
[[gnu::always_inline]] inline F32 spread(float x) { return F32{x, x, x, x}; }

}  // namespace
}  // namespace pycompress

#include "bf16/float.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kVectors = 2, kNr = kVectors * kLanes;

void gemm_bf16(const StripArgs& args) {
  static constexpr Tile kTiles[kMr] = {
      gemm_tile_bf16_float<1, kVectors>, gemm_tile_bf16_float<2, kVectors>,
      gemm_tile_bf16_float<3, kVectors>, gemm_tile_bf16_float<4, kVectors>};
  run_strip(args, kNr, [](int32_t rows, int32_t) { return kTiles[rows - 1]; });
}

}  // namespace

extern const Bf16Kernel bf16_scalar;
const Bf16Kernel bf16_scalar = {"float32 on scalar", kMr,       kNr,       1, 4,
                                round_to_float,      gemm_bf16, {{kMr, 1}}};

}  // namespace pycompress
