// Loops that do one kind of work and nothing else: what a CPU could do at most. A kernel's speed is
// told as a part of these, by `pycompress bench`.
#pragma once
#include <stdint.h>

namespace pycompress {

// Products and sums in registers: no load, no store, more chains than an instruction has cycles of
// latency.
struct PeakLoop {
  const char* type = nullptr;  // of the operands: "int8", "bf16", "float32"; null: there is none
  const char* instruction = nullptr;  // as a reader of the CPU's manual knows it
  int64_t operations = 0;             // of one pass; a product and its addition count as two
  void (*run)(int64_t passes) = nullptr;
};

// One sweep over memory. `bytes` is a multiple of kTrafficStep, x and y are aligned to 64.
struct TrafficLoops {
  void (*read)(const uint8_t* x, int64_t bytes, uint8_t* y) = nullptr;
  void (*write)(const uint8_t* x, int64_t bytes, uint8_t* y) = nullptr;
  // Reads `bytes`, writes a quarter: float32 to int8 without the arithmetic.
  void (*narrow)(const uint8_t* x, int64_t bytes, uint8_t* y) = nullptr;
  // The same, past the caches; null where the CPU has no such store.
  void (*narrow_past_cache)(const uint8_t* x, int64_t bytes, uint8_t* y) = nullptr;
};

constexpr int64_t kTrafficStep = 1024;
constexpr int kPeaks = 2;

struct LimitLoops {
  PeakLoop peaks[kPeaks];
  TrafficLoops traffic;
};

}  // namespace pycompress
