// Ceilings of AVX-512 with VNNI.
//
//   16 chains of sums + 2 operands = 18 of 32 zmm registers. Two vpdpbusd (or vfmadd) of 4 cycles
//   start in each cycle at the best CPUs, so that 8 chains would do.
#include <immintrin.h>

#include "limits/limits.h"

namespace pycompress {
namespace {

constexpr int kChains = 16;

void peak_s8_avx512_vnni(int64_t passes) {
  __m512i acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = _mm512_setzero_si512();
    asm volatile("" : "+v"(acc[i]));  // chains that the compiler cannot find equal
  }
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
  asm volatile("" : "+v"(a), "+v"(b));  // unknown to the compiler: nothing can be folded
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+v"(acc[i]));
}

void peak_f32_avx512(int64_t passes) {
  __m512 acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) {
    acc[i] = _mm512_setzero_ps();
    asm volatile("" : "+v"(acc[i]));  // chains that the compiler cannot find equal
  }
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.5f);
  asm volatile("" : "+v"(a), "+v"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm512_fmadd_ps(a, b, acc[i]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+v"(acc[i]));
}

void read_avx512(const uint8_t* x, int64_t bytes, uint8_t* /*y*/) {
  __m512i acc[4] = {};
  for (int64_t i = 0; i < bytes; i += 1024) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j)
      acc[j % 4] = _mm512_or_si512(acc[j % 4], _mm512_load_si512(x + i + j * 64));
  }
  asm volatile("" : : "v"(acc[0]), "v"(acc[1]), "v"(acc[2]), "v"(acc[3]));
}

void write_avx512(const uint8_t* /*x*/, int64_t bytes, uint8_t* y) {
  const __m512i v = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < bytes; i += 1024) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) _mm512_store_si512(y + i + j * 64, v);
  }
}

[[gnu::always_inline]] inline __m512i four_as_one(const uint8_t* x) {
  const __m512i a = _mm512_or_si512(_mm512_load_si512(x), _mm512_load_si512(x + 64));
  const __m512i b = _mm512_or_si512(_mm512_load_si512(x + 128), _mm512_load_si512(x + 192));
  return _mm512_or_si512(a, b);
}

void narrow_avx512(const uint8_t* x, int64_t bytes, uint8_t* y) {
  for (int64_t i = 0; i < bytes; i += 1024, y += 256) {
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) _mm512_store_si512(y + j * 64, four_as_one(x + i + j * 256));
  }
}

void narrow_past_cache_avx512(const uint8_t* x, int64_t bytes, uint8_t* y) {
  for (int64_t i = 0; i < bytes; i += 1024, y += 256) {
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      auto* to = reinterpret_cast<__m512i*>(y + j * 64);
      _mm512_stream_si512(to, four_as_one(x + i + j * 256));
    }
  }
  _mm_sfence();
}

}  // namespace

extern const LimitLoops limits_avx512_vnni;
const LimitLoops limits_avx512_vnni = {
    {{"int8", "vpdpbusd zmm", kChains * 64 * 2, peak_s8_avx512_vnni},
     {"float32", "vfmadd zmm", kChains * 16 * 2, peak_f32_avx512}},
    {read_avx512, write_avx512, narrow_avx512, narrow_past_cache_avx512},
};

}  // namespace pycompress
