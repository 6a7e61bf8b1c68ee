// Where the taps of neighbouring pixels lie, for kernels that read each of them by a pointer.
#pragma once
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int64_t kMaxTaps = 4 * kDepthwiseSteps;

// pointers[t * count + i] = tap t = k * row_count + r of pixel `pixel + i`. size: bytes of an
// element.
inline void tap_pointers(const DepthwiseArgs& args, int64_t pixel, int64_t count, int64_t size,
                         const uint8_t** pointers) {
  const int64_t step = args.channels * size;
  for (int64_t k = 0; k < args.kernel; ++k) {
    for (int64_t r = 0; r < args.row_count; ++r) {
      const auto* row = static_cast<const uint8_t*>(args.rows[r]);
      int64_t column = args.first + pixel * args.stride + args.shift[r] + k * args.dilation;
      for (int64_t i = 0; i < count; ++i, column += args.stride) {
        const bool inside = row != nullptr && column >= 0 && column < args.width;
        *pointers++ = inside ? row + column * step : static_cast<const uint8_t*>(args.padding);
      }
    }
  }
}

}  // namespace
}  // namespace pycompress
