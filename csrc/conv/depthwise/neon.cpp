// Depthwise convolution for Advanced SIMD: int8 widened to 16 bits, multiplied and added into 32,
// 16 channels at a time.
#include "simd/neon.h"

#include <arm_neon.h>

#include "conv/depthwise/f32.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int kBlock = 16;

inline uint8x16_t load_bytes(const uint8_t* p, int64_t n) {
  if (n == kBlock) return vld1q_u8(p);
  uint8_t bytes[kBlock] = {};
  __builtin_memcpy(bytes, p, static_cast<size_t>(n));
  return vld1q_u8(bytes);
}

// 4 channels of the epilogue, in float32; `padded` arrays are whole blocks.
inline float32x4_t scaled(const Epilogue& e, int32x4_t acc, int64_t channel) {
  float32x4_t v = vcvtq_f32_s32(acc);
  if (e.scale != nullptr) v = vmulq_f32(v, vld1q_f32(e.scale + channel));
  if (e.bias != nullptr) v = vaddq_f32(v, vld1q_f32(e.bias + channel));
  return v;
}

// For a float32 result: NaN stays.
inline float32x4_t clamped(const Epilogue& e, float32x4_t v) {
  const float32x4_t lo = vdupq_n_f32(e.lo);
  const float32x4_t hi = vdupq_n_f32(e.hi);
  v = vbslq_f32(vcltq_f32(v, lo), lo, v);
  return vbslq_f32(vcgtq_f32(v, hi), hi, v);
}

void store_words(const DepthwiseArgs& args, const Epilogue& e, const int32x4_t* acc, int64_t pixel,
                 int64_t channel, int64_t n) {
  int32_t words[kBlock];
  float residual[kBlock] = {};
  if (e.residual != nullptr) {
    const auto* r =
        static_cast<const float*>(e.residual) + (args.row + pixel) * e.residual_ld + channel;
    __builtin_memcpy(residual, r, static_cast<size_t>(n) * sizeof(float));
  }
  for (int q = 0; q < 4; ++q) {
    int32x4_t v = acc[q];
    if (e.out == Out::f32) {
      float32x4_t f = scaled(e, v, channel + 4 * q);
      if (e.residual != nullptr) f = vaddq_f32(f, vld1q_f32(residual + 4 * q));
      v = vreinterpretq_s32_f32(clamped(e, f));
    }
    vst1q_s32(words + 4 * q, v);
  }
  auto* y = static_cast<int32_t*>(args.y) + pixel * args.ldy + channel;
  __builtin_memcpy(y, words, static_cast<size_t>(n) * sizeof(int32_t));
}

void store_q8(const DepthwiseArgs& args, const Epilogue& e, const int32x4_t* acc, int64_t pixel,
              int64_t channel, int64_t n) {
  const bool is_signed = e.out == Out::s8;
  const int64_t at = pixel * args.ldy + channel;
  int32x4_t residual[4];
  if (e.residual != nullptr) {
    const auto* r =
        static_cast<const uint8_t*>(e.residual) + (args.row + pixel) * e.residual_ld + channel;
    const uint8x16_t bytes = veorq_u8(load_bytes(r, n), vdupq_n_u8(is_signed ? 0x80 : 0));
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
    const uint16x8_t high = vmovl_u8(vget_high_u8(bytes));
    const int32x4_t origin = vdupq_n_s32(e.residual_zero + (is_signed ? 128 : 0));
    residual[0] = vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), origin);
    residual[1] = vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))), origin);
    residual[2] = vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), origin);
    residual[3] = vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high))), origin);
  }
  int16x4_t quads[4];
  for (int q = 0; q < 4; ++q) {
    float32x4_t v = scaled(e, acc[q], channel + 4 * q);
    if (e.residual != nullptr) {
      v = vaddq_f32(v, vmulq_f32(vcvtq_f32_s32(residual[q]), vdupq_n_f32(e.residual_scale)));
    }
    // NaN goes to the low end: these give the other operand. The conversion saturates and the
    // bounds leave room for the zero point.
    const float32x4_t clamped = vminnmq_f32(vmaxnmq_f32(v, vdupq_n_f32(e.lo)), vdupq_n_f32(e.hi));
    const float32x4_t bounded =
        vminq_f32(vmaxq_f32(clamped, vdupq_n_f32(-1024.0f)), vdupq_n_f32(1024.0f));
    quads[q] = vqmovn_s32(vaddq_s32(vcvtnq_s32_f32(bounded), vdupq_n_s32(e.out_zero)));
  }
  const int16x8_t low = vcombine_s16(quads[0], quads[1]);
  const int16x8_t high = vcombine_s16(quads[2], quads[3]);
  const uint8x16_t bytes = is_signed
                               ? vreinterpretq_u8_s8(vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)))
                               : vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
  uint8_t* y = static_cast<uint8_t*>(args.y) + at;
  if (n == kBlock) {
    vst1q_u8(y, bytes);
  } else {
    uint8_t partial[kBlock];
    vst1q_u8(partial, bytes);
    __builtin_memcpy(y, partial, static_cast<size_t>(n));
  }
}

template <bool kSigned>
void depthwise_int8(const DepthwiseArgs& args) {
  const Epilogue& e = *args.epilogue;
  const int64_t tap_count = args.kernel * args.row_count;
  const uint8_t* taps[kMaxTaps];
  for (int64_t pixel = 0; pixel < args.pixels; ++pixel) {
    tap_pointers(args, pixel, 1, 1, taps);
    for (int64_t channel = 0; channel < args.channels; channel += kBlock) {
      const int64_t n = args.channels - channel < kBlock ? args.channels - channel : kBlock;
      const int8_t* w = static_cast<const int8_t*>(args.w) + channel * tap_count;
      int32x4_t acc[4];
      for (int q = 0; q < 4; ++q) {
        acc[q] = e.init == nullptr ? vdupq_n_s32(0) : vld1q_s32(e.init + channel + 4 * q);
      }
      for (int64_t t = 0; t < tap_count; ++t, w += kBlock) {
        uint8x16_t x = load_bytes(taps[t] + channel, n);
        if (kSigned) x = veorq_u8(x, vdupq_n_u8(0x80));
        const int8x16_t b = vld1q_s8(w);
        const int16x8_t x0 = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(x)));
        const int16x8_t x1 = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(x)));
        const int16x8_t w0 = vmovl_s8(vget_low_s8(b));
        const int16x8_t w1 = vmovl_s8(vget_high_s8(b));
        acc[0] = vmlal_s16(acc[0], vget_low_s16(x0), vget_low_s16(w0));
        acc[1] = vmlal_s16(acc[1], vget_high_s16(x0), vget_high_s16(w0));
        acc[2] = vmlal_s16(acc[2], vget_low_s16(x1), vget_low_s16(w1));
        acc[3] = vmlal_s16(acc[3], vget_high_s16(x1), vget_high_s16(w1));
      }
      if (e.out == Out::s32 || e.out == Out::f32) {
        store_words(args, e, acc, pixel, channel, n);
      } else {
        store_q8(args, e, acc, pixel, channel, n);
      }
    }
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_neon;
const DepthwiseKernels depthwise_neon = {kBlock, 1, depthwise_int8<false>, depthwise_int8<true>,
                                         depthwise_f32};

}  // namespace pycompress
