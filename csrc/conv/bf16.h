// Convolution over NHWC by way of bfloat16: weights packed once for one kernel, the input rounded
// at every run.
#pragma once
#include <cstdint>

#include "bf16/bf16.h"
#include "conv/geometry.h"

namespace pycompress {

struct PackedConvBf16 {
  Window window;
  int64_t filters = 0, channels = 0;
  bool gathered = false;  // few channels: the windows are copied, and are one tap of the gemm
  PackedBf16 panels;

  int64_t gemm_taps() const { return gathered ? 1 : window.taps(); }
  int64_t gemm_depth() const { return gathered ? window.taps() * channels : channels; }
};

// A convolution without its panels.
PackedConvBf16 conv_bf16_form(int64_t filters, int64_t channels, const Window& window);

// The panels of such a convolution. w: [filters][channels][taps], ONNX's order.
PackedBf16 pack_filters_bf16(const KernelSet& set, const PackedConvBf16& form, const float* w);

// y [pixels][filters] = epilogue(conv(x)), x: NHWC float32. The epilogue as for gemm_bf16(); rows
// are output pixels.
void conv_bf16(const float* x, const PackedConvBf16& conv, const Placement& placement,
               const Epilogue& epilogue, void* y, ThreadPool* pool);

}  // namespace pycompress
