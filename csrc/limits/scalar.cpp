// Memory traffic in portable C++. There is no peak to tell: what a compiler makes of a loop over
// integers is no property of the CPU.
#include "limits/limits.h"

namespace pycompress {
namespace {

void read_scalar(const uint8_t* x, int64_t bytes, uint8_t* /*y*/) {
  const auto* words = reinterpret_cast<const uint64_t*>(x);
  uint64_t acc[8] = {};
  for (int64_t i = 0; i < bytes / 8; i += 8) {
    for (int j = 0; j < 8; ++j) acc[j] |= words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t one : acc) sum |= one;
  asm volatile("" : : "r"(sum));
}

void write_scalar(const uint8_t* /*x*/, int64_t bytes, uint8_t* y) {
  auto* words = reinterpret_cast<uint64_t*>(y);
  uint64_t v = 1;
  asm volatile("" : "+r"(v));  // or the loop would become a call of memset
  for (int64_t i = 0; i < bytes / 8; ++i) words[i] = v;
}

void narrow_scalar(const uint8_t* x, int64_t bytes, uint8_t* y) {
  const auto* from = reinterpret_cast<const uint64_t*>(x);
  auto* to = reinterpret_cast<uint64_t*>(y);
  for (int64_t i = 0; i < bytes / 32; ++i) {
    to[i] = (from[4 * i] | from[4 * i + 1]) | (from[4 * i + 2] | from[4 * i + 3]);
  }
}

}  // namespace

extern const LimitLoops limits_scalar;
const LimitLoops limits_scalar = {{}, {read_scalar, write_scalar, narrow_scalar, nullptr}};

}  // namespace pycompress
