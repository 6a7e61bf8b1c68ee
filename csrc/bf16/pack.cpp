// float32 weights into panels of bfloat16.
#include <algorithm>
#include <cstring>

#include "bf16/bf16.h"
#include "dispatch/dispatch.h"

namespace pycompress {
namespace {

// Half to even by the bits; NaN stays NaN.
uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

PackedBf16 describe_bf16(const KernelSet& set, int64_t taps, int64_t k, int64_t n) {
  const Bf16Kernel& kernel = bf16_of(set);
  PackedBf16 packed;
  packed.set = &set;
  packed.kernel = &kernel;
  packed.taps = taps;
  packed.k = k;
  packed.n = n;
  packed.k_padded = round_up(k, kernel.kr);
  packed.panel_bytes = static_cast<size_t>(taps * packed.k_padded * kernel.nr) * sizeof(uint16_t);
  return packed;
}

PackedBf16 pack_bf16(const KernelSet& set, const float* b, int64_t taps, int64_t k, int64_t n,
                     int64_t tap_stride, int64_t k_stride, int64_t n_stride) {
  PackedBf16 packed = describe_bf16(set, taps, k, n);
  const int64_t nr = packed.kernel->nr;
  const int64_t kr = packed.kernel->kr;
  packed.panels = AlignedBuffer(packed.panel_bytes * static_cast<size_t>((n + nr - 1) / nr));
  std::memset(packed.panels.data(), 0, packed.panels.size());
  for (int64_t first = 0; first < n; first += nr) {
    auto* panel = reinterpret_cast<uint16_t*>(packed.panels.data() +
                                              static_cast<size_t>(first / nr) * packed.panel_bytes);
    const int64_t columns = std::min(nr, n - first);
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t i = 0; i < k; ++i) {
        uint16_t* to = panel + (t * packed.k_padded + i / kr * kr) * nr + i % kr;
        const float* from = b + t * tap_stride + i * k_stride + first * n_stride;
        for (int64_t j = 0; j < columns; ++j) to[j * kr] = to_bf16(from[j * n_stride]);
      }
    }
  }
  return packed;
}

}  // namespace pycompress
