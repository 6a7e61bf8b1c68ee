// 6x16 tiles of bfloat16 for AVX2: 12 sums + 2 of B + 1 of A = 15 of 16 ymm registers.
#include <immintrin.h>

#include "gemm/columns_avx2.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline F32 widen(const uint16_t* p) {
  const __m128i half = _mm_load_si128(reinterpret_cast<const __m128i*>(p));
  return (F32)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
}
[[gnu::always_inline]] inline F32 add_product(F32 sum, F32 a, F32 b) {
  return _mm256_fmadd_ps(a, b, sum);
}
[[gnu::always_inline]] inline F32 spread(float x) { return _mm256_set1_ps(x); }

}  // namespace
}  // namespace pycompress

#include "bf16/float.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kVectors = 2, kNr = kVectors * kLanes;

void gemm_bf16(const StripArgs& args) {
  static constexpr Tile kTiles[kMr] = {
      gemm_tile_bf16_float<1, kVectors>, gemm_tile_bf16_float<2, kVectors>,
      gemm_tile_bf16_float<3, kVectors>, gemm_tile_bf16_float<4, kVectors>,
      gemm_tile_bf16_float<5, kVectors>, gemm_tile_bf16_float<6, kVectors>};
  run_strip(args, kNr, [](int32_t rows, int32_t) { return kTiles[rows - 1]; });
}

}  // namespace

extern const Bf16Kernel bf16_avx2;
const Bf16Kernel bf16_avx2 = {"float32 on avx2", kMr,       kNr,       1, 4,
                              round_to_float,    gemm_bf16, {{kMr, 1}}};

}  // namespace pycompress
