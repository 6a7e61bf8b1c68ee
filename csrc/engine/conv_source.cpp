#include "engine/conv_source.h"

namespace pycompress {

bool LayerSource::fits(const ConvLayer& first, const ConvLayer& second) {
  constexpr int64_t kNear = 48 * 1024;  // bytes that stay in a near cache anyway
  const PackedConv& conv = first.conv;
  const int64_t bytes = first.plan.placement().pixels() * conv.filters * 4;
  return first.plan.plain() && conv.groups == 1 && conv.panels[0].col_zero.empty() &&
         16 % kernel_of(*conv.set, conv.is_float).nr == 0 && !first.layer.has_residual &&
         !first.layer.integer_out && second.layer.mode == LayerMode::f32 &&
         second.plan.takes_source() && !second.layer.has_residual && !second.layer.finishes() &&
         bytes > kNear;
}

void LayerSource::give(int64_t pixel, int64_t pixels, int64_t channel, int64_t channels,
                       float* to) const {
  const PackedConv& conv = layer_.conv;
  const ConvRun& run = started_.run;
  MatrixA a;
  a.data = static_cast<const uint8_t*>(run.x) +
           pixel * conv.channels() * static_cast<int64_t>(conv.element_size());
  a.lda = conv.channels();
  a.is_signed = run.x_signed;
  a.readable_tail = run.x_slack;
  gemm_columns(a, conv.panels[0], pixels, channel, channels, started_.epilogue, to, channels);
  const Layer& layer = layer_.layer;
  if (layer.finishes())
    layer.finish_rows(*conv.set, to, pixels, channels, channels, nullptr, 0, to, channels);
}

}  // namespace pycompress
