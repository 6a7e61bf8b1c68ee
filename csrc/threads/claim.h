// Memory that a thread is about to write, and that another core may hold. A store to such a line
// waits for it, and stores wait for each other: line by line that took 25 to 100 ns each here, up
// to ten times as long as the work itself. Asked for ahead, lines come while others are on their
// way.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace pycompress {

constexpr int64_t kCacheLine = 64;
constexpr int64_t kMostClaimed = 256 * 1024;  // of one piece of memory: what a cache holds by far

inline void claim_line(const char* line) {
#if defined(__x86_64__)
  // The compiler's builtin asks for a copy to read where it may not assume this instruction; every
  // x86-64 takes it, if only as one that does nothing.
  asm volatile("prefetchw %0" : : "m"(*line));
#else
  __builtin_prefetch(line, 1);
#endif
}

inline void claim(const void* memory, int64_t bytes) {
  const auto* at = static_cast<const char*>(memory);
  const auto* end = at + std::min(bytes, kMostClaimed);
  for (; at < end; at += kCacheLine) claim_line(at);
}

}  // namespace pycompress
