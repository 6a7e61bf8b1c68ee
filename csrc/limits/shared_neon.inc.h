// Ceilings that the sets of AArch64 have in common: float32 (16 chains of sums + 2 operands of 32
// registers) and memory.
#pragma once
#include <arm_neon.h>

#include "limits/limits.h"

namespace pycompress {
namespace {

constexpr int kFloatChains = 16;

void peak_f32_neon(int64_t passes) {
  float32x4_t acc[kFloatChains];
#pragma GCC unroll 16
  for (int i = 0; i < kFloatChains; ++i) {
    acc[i] = vdupq_n_f32(0.0f);
    asm volatile("" : "+w"(acc[i]));  // chains that the compiler cannot find equal
  }
  float32x4_t a = vdupq_n_f32(0.5f), b = vdupq_n_f32(1.5f);
  asm volatile("" : "+w"(a), "+w"(b));
  for (; passes > 0; --passes) {
#pragma GCC unroll 16
    for (int i = 0; i < kFloatChains; ++i) acc[i] = vfmaq_f32(acc[i], a, b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kFloatChains; ++i) asm volatile("" : "+w"(acc[i]));
}

void read_neon(const uint8_t* x, int64_t bytes, uint8_t* /*y*/) {
  uint8x16_t acc[4] = {vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0)};
  for (int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) acc[j % 4] = vorrq_u8(acc[j % 4], vld1q_u8(x + i + j * 16));
  }
  asm volatile("" : : "w"(acc[0]), "w"(acc[1]), "w"(acc[2]), "w"(acc[3]));
}

void write_neon(const uint8_t* /*x*/, int64_t bytes, uint8_t* y) {
  const uint8x16_t v = vdupq_n_u8(1);
  for (int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) vst1q_u8(y + i + j * 16, v);
  }
}

void narrow_neon(const uint8_t* x, int64_t bytes, uint8_t* y) {
  for (int64_t i = 0; i < bytes; i += 256, y += 64) {
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      const uint8_t* from = x + i + j * 64;
      const uint8x16_t a = vorrq_u8(vld1q_u8(from), vld1q_u8(from + 16));
      const uint8x16_t b = vorrq_u8(vld1q_u8(from + 32), vld1q_u8(from + 48));
      vst1q_u8(y + j * 16, vorrq_u8(a, b));
    }
  }
}

constexpr PeakLoop kPeakF32 = {"float32", "fmla 4s", kFloatChains * 4 * 2, peak_f32_neon};
constexpr TrafficLoops kTraffic = {read_neon, write_neon, narrow_neon, nullptr};

}  // namespace
}  // namespace pycompress
