// The epilogue of an int8 depthwise convolution at 16 channels, in the 128-bit registers of
// AArch64.
#pragma once
#include <arm_neon.h>

#include "kernels.h"

namespace pycompress {
namespace {

constexpr int64_t kBlock = 16;
using Bytes = uint8x16_t;
using Sums = int32x4_t;

// Edges go by parts of 8, 4, 2 and 1, without a call: what is in registers around one stays there.
template <typename Part>
[[gnu::always_inline]] inline uint64_t take(const uint8_t*& p, int64_t& shift) {
  Part part;
  __builtin_memcpy(&part, p, sizeof(part));
  p += sizeof(part);
  const uint64_t placed = static_cast<uint64_t>(part) << shift;
  shift += 8 * static_cast<int64_t>(sizeof(part));
  return placed;
}

template <typename Part>
[[gnu::always_inline]] inline void give(uint8_t*& p, uint64_t& bytes) {
  const Part part = static_cast<Part>(bytes);
  __builtin_memcpy(p, &part, sizeof(part));
  p += sizeof(part);
  bytes >>= 8 * sizeof(part) % 64;
}

// The first n of 16 bytes, zeros after them.
inline uint8x16_t load_bytes(const uint8_t* p, int64_t n) {
  if (n == kBlock) return vld1q_u8(p);
  int64_t shift = 0;
  const uint64_t whole = (n & 8) != 0 ? take<uint64_t>(p, shift) : 0;
  shift = 0;
  uint64_t rest = (n & 4) != 0 ? take<uint32_t>(p, shift) : 0;
  if ((n & 2) != 0) rest |= take<uint16_t>(p, shift);
  if ((n & 1) != 0) rest |= take<uint8_t>(p, shift);
  const bool high = (n & 8) != 0;
  return vcombine_u8(vcreate_u8(high ? whole : rest), vcreate_u8(high ? rest : 0));
}

inline void store_bytes(uint8_t* p, uint8x16_t v, int64_t n) {
  if (n == kBlock) {
    vst1q_u8(p, v);
    return;
  }
  uint64_t rest = vgetq_lane_u64(vreinterpretq_u64_u8(v), 0);
  if ((n & 8) != 0) {
    give<uint64_t>(p, rest);
    rest = vgetq_lane_u64(vreinterpretq_u64_u8(v), 1);
  }
  if ((n & 4) != 0) give<uint32_t>(p, rest);
  if ((n & 2) != 0) give<uint16_t>(p, rest);
  if ((n & 1) != 0) give<uint8_t>(p, rest);
}

// The first n of 4 floats, zeros after them.
inline float32x4_t load_floats(const float* p, int64_t n) {
  if (n >= 4) return vld1q_f32(p);
  float32x4_t v = vdupq_n_f32(0.0f);
  if (n > 0) v = vld1q_lane_f32(p, v, 0);
  if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}

inline void store_words(int32_t* p, int32x4_t v, int64_t n) {
  if (n >= 4) {
    vst1q_s32(p, v);
    return;
  }
  if (n > 0) vst1q_lane_s32(p, v, 0);
  if (n > 1) vst1q_lane_s32(p + 1, v, 1);
  if (n > 2) vst1q_lane_s32(p + 2, v, 2);
}

// Channels channel .. channel + n - 1, four to a vector, read once for all pixels of a call.
struct Lane {
  const Epilogue& epilogue;
  const DepthwiseArgs& args;
  int64_t channel, n;
  bool has_bias;
  int32x4_t init[4];
  float32x4_t scale[4];
  float32x4_t bias[4];
  float32x4_t lo, hi;
  int16x8_t zero;

  Lane(const DepthwiseArgs& a, int64_t c, int64_t count)
      : epilogue(*a.epilogue), args(a), channel(c), n(count), has_bias(epilogue.bias != nullptr) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int64_t at = c + 4 * q;
      init[q] = epilogue.init == nullptr ? vdupq_n_s32(0) : vld1q_s32(epilogue.init + at);
      scale[q] = epilogue.scale == nullptr ? vdupq_n_f32(1.0f) : vld1q_f32(epilogue.scale + at);
      bias[q] = has_bias ? vld1q_f32(epilogue.bias + at) : vdupq_n_f32(0.0f);
    }
    float low = epilogue.lo;
    float high = epilogue.hi;
    if (epilogue.out == Out::u8 || epilogue.out == Out::s8) {
      // Saturation before rounding is saturation after it: the bounds are integers.
      const int32_t least = epilogue.out == Out::u8 ? 0 : -128;
      const auto bottom = static_cast<float>(least - epilogue.out_zero);
      const auto top = static_cast<float>(least + 255 - epilogue.out_zero);
      low = low < bottom ? bottom : low > top ? top : low;
      high = high > top ? top : high < bottom ? bottom : high;
    }
    lo = vdupq_n_f32(low);
    hi = vdupq_n_f32(high);
    zero = vdupq_n_s16(static_cast<int16_t>(epilogue.out_zero));
  }

  [[gnu::always_inline]] float32x4_t scaled(int32x4_t acc, int quad) const {
    const float32x4_t v = vmulq_f32(vcvtq_f32_s32(acc), scale[quad]);
    return has_bias ? vaddq_f32(v, bias[quad]) : v;
  }

  [[gnu::always_inline]] void store_quads(const int32x4_t* v, int64_t pixel) const {
    auto* y = static_cast<int32_t*>(args.y) + pixel * args.ldy + channel;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) store_words(y + 4 * q, v[q], n - 4 * q);
  }

  [[gnu::always_inline]] void store_f32(int32x4_t* acc, int64_t pixel) const {
    const float* r = static_cast<const float*>(epilogue.residual);
    if (r != nullptr) r += (args.row + pixel) * epilogue.residual_ld + channel;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      float32x4_t v = scaled(acc[q], q);
      if (r != nullptr) v = vaddq_f32(v, load_floats(r + 4 * q, n - 4 * q));
      // NaN stays. In bytes it goes to the low end, by what gives the other operand.
      v = vbslq_f32(vcltq_f32(v, lo), lo, v);
      v = vbslq_f32(vcgtq_f32(v, hi), hi, v);
      acc[q] = vreinterpretq_s32_f32(v);
    }
    store_quads(acc, pixel);
  }

  void add_residual(float32x4_t* v, int64_t pixel) const {
    const bool is_signed = epilogue.out == Out::s8;
    const auto* r = static_cast<const uint8_t*>(epilogue.residual) +
                    (args.row + pixel) * epilogue.residual_ld + channel;
    const uint8x16_t bytes = veorq_u8(load_bytes(r, n), vdupq_n_u8(is_signed ? 0x80 : 0));
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
    const uint16x8_t high = vmovl_high_u8(bytes);
    const uint32x4_t quads[4] = {vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low),
                                 vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)};
    const int32x4_t origin = vdupq_n_s32(epilogue.residual_zero + (is_signed ? 128 : 0));
    const float32x4_t size = vdupq_n_f32(epilogue.residual_scale);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int32x4_t x = vsubq_s32(vreinterpretq_s32_u32(quads[q]), origin);
      v[q] = vaddq_f32(v[q], vmulq_f32(vcvtq_f32_s32(x), size));
    }
  }

  [[gnu::always_inline]] void store_q8(const int32x4_t* acc, int64_t pixel) const {
    float32x4_t v[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) v[q] = scaled(acc[q], q);
    if (epilogue.residual != nullptr) add_residual(v, pixel);
    int32x4_t i[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) i[q] = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(v[q], lo), hi));
    const int16x8_t low = vaddq_s16(vqmovn_high_s32(vqmovn_s32(i[0]), i[1]), zero);
    const int16x8_t high = vaddq_s16(vqmovn_high_s32(vqmovn_s32(i[2]), i[3]), zero);
    const uint8x16_t bytes = epilogue.out == Out::u8
                                 ? vqmovun_high_s16(vqmovun_s16(low), high)
                                 : vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(low), high));
    uint8_t* y = static_cast<uint8_t*>(args.y) + pixel * args.ldy + channel;
    store_bytes(y, bytes, n);
  }
};

}  // namespace
}  // namespace pycompress
