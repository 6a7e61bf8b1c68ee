// Quantizing whole tensors: the driver that maps a channel axis onto the kernels and splits the
// work.
#pragma once
#include <cstdint>

#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

// A tensor seen as [outer, channels, inner], the channel axis in the middle. One parameter for the
// whole tensor: channels = 1.
struct Channels {
  int64_t outer = 1, channels = 1, inner = 1;
  int64_t size() const { return outer * channels * inner; }
};

// scale, zero: [channels].
void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, uint8_t* q, ThreadPool* pool);
void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, int8_t* q, ThreadPool* pool);
void dequantize_tensor(const KernelSet& set, const uint8_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool);
void dequantize_tensor(const KernelSet& set, const int8_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool);
void dequantize_tensor(const KernelSet& set, const int32_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool);

// Largest |x| of each channel, NaN where the channel holds one. largest: [channels].
void largest_by_channel(const KernelSet& set, const float* x, const Channels& of, float* largest);

}  // namespace pycompress
