// 6x64 tiles of bfloat16 for AVX-512 without its BF16 instructions: 24 sums + 4 of B + 1 of A = 29
// of 32 zmm registers.
#include <immintrin.h>

#include "gemm/columns_avx512.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline F32 widen(const uint16_t* p) {
  const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  return (F32)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}
[[gnu::always_inline]] inline F32 add_product(F32 sum, F32 a, F32 b) {
  return _mm512_fmadd_ps(a, b, sum);
}
[[gnu::always_inline]] inline F32 spread(float x) { return _mm512_set1_ps(x); }

}  // namespace
}  // namespace pycompress

#include "bf16/float.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 6, kVectors = 4, kNr = kVectors * kLanes;

void gemm_bf16(const StripArgs& args) {
  static constexpr Tile kTiles[kMr] = {
      gemm_tile_bf16_float<1, kVectors>, gemm_tile_bf16_float<2, kVectors>,
      gemm_tile_bf16_float<3, kVectors>, gemm_tile_bf16_float<4, kVectors>,
      gemm_tile_bf16_float<5, kVectors>, gemm_tile_bf16_float<6, kVectors>};
  run_strip(args, kNr, [](int32_t rows, int32_t) { return kTiles[rows - 1]; });
}

}  // namespace

extern const Bf16Kernel bf16_avx512;
const Bf16Kernel bf16_avx512 = {"float32 on avx512", kMr,       kNr,       1, 4,
                                round_to_float,      gemm_bf16, {{kMr, 1}}};

}  // namespace pycompress
