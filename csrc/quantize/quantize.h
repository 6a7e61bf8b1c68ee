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

// Symmetric int8 in [-127, 127] with the scales that just hold them: the largest |x| of the channel
// / 127, and 1 where it is 0. scale: [channels]. Gives the channel of a value that is NaN or
// infinite, which no scale holds, and -1 where there is none.
int64_t quantize_weights(const KernelSet& set, const float* x, const Channels& of, float* scale,
                         int8_t* q, ThreadPool* pool);

}  // namespace pycompress
