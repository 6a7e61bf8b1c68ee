// A convolution with everything that a layer adds to it: what the operator and the NumPy face
// share.
#pragma once
#include <cstdint>

#include "conv/conv.h"
#include "engine/fused.h"
#include "engine/tensor.h"

namespace pycompress {

// NHWC: float32 in the modes f32 and dynamic; u8 in the mode dynamic where `handed` is its scale.
struct ConvInput {
  const Tensor& x;
  const DynamicScale* handed = nullptr;
  const ConvSource* source = nullptr;  // computes x, which then has no data
  uint8_t* source_scratch = nullptr;
};

// One convolution layer: its parts live as long as the caller says.
struct ConvLayer {
  // A run whose input is in the type that the products read.
  struct Started {
    ConvRun run;        // without epilogue, output and persistent memory
    Epilogue epilogue;  // of the layer's own output
    float x_scale;
  };

  const Layer& layer;
  const PackedConv& conv;
  const ConvPlan& plan;
  const LayerEpilogue& ready;  // conv_layer_epilogue()

  size_t scratch_bytes(int threads) const;
  // residual: null or of y's shape and type.
  void run(const ConvInput& x, const void* residual, void* y, uint8_t* scratch, uint8_t* persistent,
           ThreadPool* pool) const;
  Started start(const ConvInput& x, const void* residual, uint8_t* scratch, ThreadPool* pool) const;

 private:
  // Whether rows of float32 sums are left for Layer::finish_rows.
  bool late() const { return layer.finishes() && !ready.swishes(); }
  // Dynamic mode: the quantized input, then scale and init for it.
  struct Dynamic;
  Dynamic dynamic_parts(uint8_t* scratch) const;
};

LayerEpilogue conv_layer_epilogue(const Layer& layer, const PackedConv& conv, bool x_signed);

// Weights of a convolution, packed for the mode of its layer. w: [O, I / groups, k...].
PackedConv pack_layer_conv(const KernelSet& set, const Layer& layer, const Tensor& w,
                           int64_t groups, const Window& window);

}  // namespace pycompress
