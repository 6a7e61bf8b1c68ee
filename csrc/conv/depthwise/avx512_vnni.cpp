// Depthwise convolution for AVX-512: int8 by VPDPBUSD. Windows of 3x3 go by blocks of 64 channels
// in zmm, others by pairs of pixels in zmm where there are whole blocks of 32 channels and 8-bit
// results; the rest on ymm, which waste less when a layer has 16 or 24 channels.
#include <immintrin.h>

#include "conv/depthwise/vectors_avx512.inc.h"
#include "kernels.h"
#include "simd/avx512.h"

namespace pycompress {
namespace {

constexpr int kParts = 1;
struct WeightBuffer {};

inline void split(__m256i quad, __m256i* out) { *out = quad; }

inline const __m256i* widen_weights(const uint8_t* w, int64_t, WeightBuffer&) {
  return reinterpret_cast<const __m256i*>(w);
}

inline __m256i dot(__m256i acc, const __m256i* x, const __m256i* w) {
  return _mm256_dpbusd_epi32(acc, *x, *w);
}

inline __m256i load_bytes(const uint8_t* p, int64_t n) { return Ymm::load(p, n); }
inline void store_bytes(uint8_t* p, __m256i v, int64_t n) { Ymm::store(p, v, n); }

// Of 64 channels.
template <bool kFlip>
inline void interleave(const uint8_t* const* rows, int64_t n, __m512i* out) {
  interleave4<Zmm, kFlip>(rows, n, out);
}

// 8-bit results of pairs of pixels, 32 channels: a zmm is two neighbouring quads of a column.
//
//             zmm 0             zmm 1              pack, pack:  dword t of lane l of the bytes is
//   pixel 0   acc[0] quads 0 1  acc[1] quads 2 3   pixel t / 2, channels
//   pixel 1   acc[2] quads 0 1  acc[3] quads 2 3   16 * (l % 2) + 4 * (l / 2) + 8 * (t % 2) ..
//
// One VPERMD puts both pixels in order. kShared: the second pixel is one tap further, so that the
// compiler loads each column once for both. Returns the number of pixels done.
template <int kKernel, int kGroups, bool kShared, class Lane>
int64_t dot_zmm(const Lane& lane, const __m256i* columns, const __m256i* weights, int64_t pixel,
                int64_t count, int64_t advance) {
  const DepthwiseArgs& args = lane.args;
  const Epilogue& e = lane.epilogue;
  if (lane.n != 32 || e.residual != nullptr || e.hard_swish != nullptr) return 0;
  const auto load = [](const __m256i* p) { return _mm512_loadu_si512(p); };
  const int64_t kernel = kKernel != 0 ? kKernel : args.kernel;
  const int64_t groups = kGroups != 0 ? kGroups : (args.row_count + 3) / 4;
  const int64_t tap = args.dilation * groups * 4;
  const int64_t column = kShared ? tap : advance * groups * 4;
  const int64_t ldy = args.ldy;
  const bool has_bias = lane.has_bias;
  const bool is_unsigned = lane.epilogue.out == Out::u8;
  const __m512i init[2] = {load(lane.init), load(lane.init + 2)};
  const __m512 scale[2] = {_mm512_loadu_ps(lane.scale), _mm512_loadu_ps(lane.scale + 2)};
  const __m512 bias[2] = {_mm512_loadu_ps(lane.bias), _mm512_loadu_ps(lane.bias + 2)};
  const __m512 lo = _mm512_broadcastss_ps(_mm256_castps256_ps128(lane.lo));
  const __m512 hi = _mm512_broadcastss_ps(_mm256_castps256_ps128(lane.hi));
  const __m512i zero = _mm512_broadcastw_epi16(_mm256_castsi256_si128(lane.zero));
  const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 4, 12, 5, 13, 2, 10, 3, 11, 6, 14, 7, 15);
  constexpr int kHeld = 2 * kKernel * kGroups;  // else a store of bytes might have changed them
  __m512i held[kHeld != 0 ? kHeld : 1];
#pragma GCC unroll 16
  for (int i = 0; i < kHeld; ++i) held[i] = load(weights + 2 * i);
  uint8_t* y = static_cast<uint8_t*>(args.y) + pixel * ldy + lane.channel;
  int64_t p = 0;
  for (; p + 2 <= count; p += 2, columns += 2 * column, y += 2 * ldy) {
    __m512i acc[4] = {init[0], init[1], init[0], init[1]};
    const __m256i* w = weights;
#pragma GCC unroll 3
    for (int64_t k = 0; k < kernel; ++k) {
      const __m256i* x = columns + k * tap;
#pragma GCC unroll 1
      for (int64_t g = 0; g < groups; ++g, x += 4, w += 4) {
        const __m512i w0 = kHeld != 0 ? held[2 * (k * groups + g)] : load(w);
        const __m512i w1 = kHeld != 0 ? held[2 * (k * groups + g) + 1] : load(w + 2);
        acc[0] = _mm512_dpbusd_epi32(acc[0], load(x), w0);
        acc[1] = _mm512_dpbusd_epi32(acc[1], load(x + 2), w1);
        acc[2] = _mm512_dpbusd_epi32(acc[2], load(x + column), w0);
        acc[3] = _mm512_dpbusd_epi32(acc[3], load(x + column + 2), w1);
      }
    }
    __m512 v[4];
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) v[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[i]), scale[i % 2]);
    if (has_bias) {
#pragma GCC unroll 16
      for (int i = 0; i < 4; ++i) v[i] = _mm512_add_ps(v[i], bias[i % 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {
      acc[i] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v[i], lo), hi));
    }
    const __m512i first = _mm512_add_epi16(_mm512_packs_epi32(acc[0], acc[1]), zero);
    const __m512i second = _mm512_add_epi16(_mm512_packs_epi32(acc[2], acc[3]), zero);
    const __m512i bytes =
        _mm512_permutexvar_epi32(order, is_unsigned ? _mm512_packus_epi16(first, second)
                                                    : _mm512_packs_epi16(first, second));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), _mm512_castsi512_si256(bytes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + ldy), _mm512_extracti64x4_epi64(bytes, 1));
  }
  return p;
}

template <int kKernel, int kGroups, class Lane>
int64_t dot_pairs(const Lane& lane, const __m256i* columns, const __m256i* weights, int64_t pixel,
                  int64_t count, int64_t advance) {
  const bool shared = advance == lane.args.dilation;
  return (shared ? dot_zmm<kKernel, kGroups, true, Lane>
                 : dot_zmm<kKernel, kGroups, false, Lane>)(lane, columns, weights, pixel, count,
                                                           advance);
}

}  // namespace
}  // namespace pycompress

#include "conv/depthwise/f32.inc.h"
#include "conv/depthwise/fives.inc.h"

namespace pycompress {
namespace {

template <bool kFlip>
void depthwise_lines(const DepthwiseArgs& args) {
  if (slide<kFlip>(args) || fives<kFlip>(args)) return;
  DepthwiseArgs line = args;
  line.lines = 1;
  const int64_t element = element_bytes(args);
  for (int64_t i = 0; i < args.lines; ++i) {
    depthwise_int8<kFlip>(line);
    line.rows += args.step;
    line.shift += args.step;
    line.row += line.pixels;
    line.y = static_cast<uint8_t*>(line.y) + line.pixels * line.ldy * element;
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_avx512_vnni;
const DepthwiseKernels depthwise_avx512_vnni = {
    kBlock, 4, depthwise_lines<false>, depthwise_lines<true>, depthwise_f32, true, false, true};

}  // namespace pycompress
