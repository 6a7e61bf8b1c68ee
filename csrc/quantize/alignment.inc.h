// Where vectors of x and of its bytes are aligned, over the names of a simd/ header.
#pragma once
#include <stdint.h>

namespace pycompress {
namespace {

constexpr int64_t kFour = 4 * kLanes;  // bytes that are stored at once

// How many elements on, p is aligned to a store of four vectors, or x to a load of one: loads that
// cross cache lines cost a quarter of the speed.
inline int64_t until_aligned(const void* q) {
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(q) & static_cast<uintptr_t>(kFour - 1));
}
inline int64_t until_aligned(const float* x) {
  constexpr uintptr_t kBytes = kLanes * sizeof(float);
  return static_cast<int64_t>((-reinterpret_cast<uintptr_t>(x) & (kBytes - 1)) / sizeof(float));
}
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace pycompress
