// A 1x1 convolution that computes its result by the piece, for the depthwise one that reads it.
#pragma once
#include "engine/conv_layer.h"

namespace pycompress {

class LayerSource final : public ConvSource {
 public:
  // Whether the first of two layers can be the source of the second, and what lies between is
  // large enough to gain from it.
  static bool fits(const ConvLayer& first, const ConvLayer& second);

  // scratch: first.scratch_bytes().
  LayerSource(const ConvLayer& first, const ConvInput& x, uint8_t* scratch, ThreadPool* pool)
      : layer_(first), started_(first.start(x, nullptr, scratch, pool)) {}
  void give(int64_t pixel, int64_t pixels, int64_t channel, int64_t channels,
            float* to) const override;

 private:
  const ConvLayer& layer_;
  const ConvLayer::Started started_;
};

}  // namespace pycompress
