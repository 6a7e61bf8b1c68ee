// What the sets on ymm registers share: the float32 peak, and sweeps over memory.
//
//   float32: 12 chains + 2 operands = 14 of 16 ymm registers.
#pragma once
#include <immintrin.h>

#include "limits/limits.h"

namespace pycompress {
namespace {

constexpr int kFloatChains = 12;

void peak_f32_avx2(int64_t passes) {
  __m256 acc[kFloatChains];
#pragma GCC unroll 16
  for (int i = 0; i < kFloatChains; ++i) {
    acc[i] = _mm256_setzero_ps();
    asm volatile("" : "+x"(acc[i]));  // chains that the compiler cannot find equal
  }
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.5f);
  asm volatile("" : "+x"(a), "+x"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kFloatChains; ++i) acc[i] = _mm256_fmadd_ps(a, b, acc[i]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kFloatChains; ++i) asm volatile("" : "+x"(acc[i]));
}

[[gnu::always_inline]] inline __m256i load(const uint8_t* x) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(x));
}

void read_avx2(const uint8_t* x, int64_t bytes, uint8_t* /*y*/) {
  __m256i acc[4] = {};
  for (int64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) acc[j % 4] = _mm256_or_si256(acc[j % 4], load(x + i + j * 32));
  }
  asm volatile("" : : "x"(acc[0]), "x"(acc[1]), "x"(acc[2]), "x"(acc[3]));
}

void write_avx2(const uint8_t* /*x*/, int64_t bytes, uint8_t* y) {
  const __m256i v = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) _mm256_store_si256(reinterpret_cast<__m256i*>(y + i + j * 32), v);
  }
}

[[gnu::always_inline]] inline __m256i four_as_one(const uint8_t* x) {
  const __m256i a = _mm256_or_si256(load(x), load(x + 32));
  return _mm256_or_si256(a, _mm256_or_si256(load(x + 64), load(x + 96)));
}

void narrow_avx2(const uint8_t* x, int64_t bytes, uint8_t* y) {
  for (int64_t i = 0; i < bytes; i += 512, y += 128) {
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      auto* to = reinterpret_cast<__m256i*>(y + j * 32);
      _mm256_store_si256(to, four_as_one(x + i + j * 128));
    }
  }
}

void narrow_past_cache_avx2(const uint8_t* x, int64_t bytes, uint8_t* y) {
  for (int64_t i = 0; i < bytes; i += 512, y += 128) {
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      auto* to = reinterpret_cast<__m256i*>(y + j * 32);
      _mm256_stream_si256(to, four_as_one(x + i + j * 128));
    }
  }
  _mm_sfence();
}

constexpr PeakLoop kPeakF32 = {"float32", "vfmadd ymm", kFloatChains * 8 * 2, peak_f32_avx2};
constexpr TrafficLoops kTraffic = {read_avx2, write_avx2, narrow_avx2, narrow_past_cache_avx2};

}  // namespace
}  // namespace pycompress
