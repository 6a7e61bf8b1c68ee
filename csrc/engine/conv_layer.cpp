#include "engine/conv_layer.h"

namespace pycompress {
namespace {

size_t aligned(size_t bytes) { return (bytes + 127) / 64 * 64; }

// Finishes rows of float sums with what the epilogue could not do.
class LayerFinish final : public RowFinish {
 public:
  LayerFinish(const Layer& layer, const KernelSet& set, int64_t filters, const void* residual,
              void* y)
      : layer_(layer), set_(set), filters_(filters), residual_(residual), y_(y) {}

  void finish(float* sums, int64_t row, int64_t rows) const override {
    const auto size = static_cast<int64_t>(dtype_size(layer_.y_dtype));
    const auto at = [&](const void* base) {
      return base == nullptr ? nullptr : static_cast<const uint8_t*>(base) + row * filters_ * size;
    };
    const void* residual = layer_.integer_out ? at(residual_) : nullptr;
    layer_.finish_rows(set_, sums, rows, filters_, filters_, residual, filters_,
                       const_cast<uint8_t*>(at(y_)), filters_);
  }

 private:
  const Layer& layer_;
  const KernelSet& set_;
  int64_t filters_;
  const void* residual_;
  void* y_;
};

}  // namespace

struct ConvLayer::Dynamic {
  uint8_t* x;
  float* scale;
  int32_t* init;
  uint8_t* rest;
};

ConvLayer::Dynamic ConvLayer::dynamic_parts(uint8_t* scratch) const {
  const auto filters = static_cast<size_t>(conv.filters);
  Dynamic parts;
  parts.x = scratch;
  if (!layer.x_handed)
    scratch += aligned(static_cast<size_t>(plan.placement().input_pixels() * conv.channels()));
  parts.scale = reinterpret_cast<float*>(scratch);
  scratch += aligned(filters * sizeof(float));
  parts.init = reinterpret_cast<int32_t*>(scratch);
  parts.rest = scratch + aligned(filters * sizeof(int32_t));
  return parts;
}

size_t ConvLayer::scratch_bytes(int threads) const {
  const size_t own = plan.scratch_bytes(threads, late() && layer.integer_out);
  if (layer.mode != LayerMode::dynamic) return own;
  uint8_t origin = 0;
  return own + static_cast<size_t>(dynamic_parts(&origin).rest - &origin);
}

ConvLayer::Started ConvLayer::start(const ConvInput& x, const void* residual, uint8_t* scratch,
                                    ThreadPool* pool) const {
  Started started;
  started.epilogue = ready.epilogue(residual, conv.filters);
  started.x_scale = layer.x_scale;
  ConvRun& run = started.run;
  run.x = x.x.data;
  run.x_signed = x.x.dtype == DType::s8;
  run.x_slack = x.x.slack;
  run.source = x.source;
  run.source_scratch = x.source_scratch;
  run.x_zero = layer.mode == LayerMode::integer ? layer.x_zero : 0;
  run.scratch = scratch;
  run.pool = pool;
  if (layer.mode != LayerMode::dynamic) return started;
  const Dynamic parts = dynamic_parts(scratch);
  DynamicScale found;
  if (x.handed != nullptr) {
    found = *x.handed;
  } else {
    found = quantize_dynamic(*conv.set, pool, x.x.as<float>(), x.x.elements(), parts.x);
    run.x = parts.x;
    run.x_slack = true;
  }
  conv_init(conv, found.zero, false, nullptr, parts.init);
  for (size_t i = 0; i < layer.w_scale.size(); ++i) {
    parts.scale[i] = static_cast<float>(static_cast<double>(found.scale) *
                                        static_cast<double>(layer.w_scale[i]));
  }
  started.epilogue.scale = parts.scale;
  started.epilogue.init = parts.init;
  started.x_scale = found.scale;
  run.x_zero = found.zero;
  run.scratch = parts.rest;
  return started;
}

void ConvLayer::run(const ConvInput& x, const void* residual, void* y, uint8_t* scratch,
                    uint8_t* persistent, ThreadPool* pool) const {
  const bool finishes = late();
  const bool late_residual = finishes && layer.integer_out;
  const Started started = start(x, late_residual ? nullptr : residual, scratch, pool);
  const LayerFinish finish(layer, *conv.set, conv.filters, residual, y);
  ConvRun run = started.run;
  run.epilogue = &started.epilogue;
  run.y = y;
  run.finish = finishes ? &finish : nullptr;
  run.sums_in_scratch = finishes && layer.integer_out;
  run.persistent = persistent;
  plan.run(run);
}

LayerEpilogue conv_layer_epilogue(const Layer& layer, const PackedConv& conv, bool x_signed) {
  std::vector<int32_t> init;
  if (layer.mode == LayerMode::integer) {
    init.resize(static_cast<size_t>(conv.filters));
    conv_init(conv, layer.x_zero, x_signed, layer.int_bias_or_null(), init.data());
  }
  LayerEpilogue ready(layer, std::move(init), nullptr);
  if (conv.path == ConvPath::depthwise) ready.swish_inside(*conv.set);
  return ready;
}

PackedConv pack_layer_conv(const KernelSet& set, const Layer& layer, const Tensor& w,
                           int64_t groups, const Window& window) {
  if (layer.mode != LayerMode::f32) {
    return pack_conv_int8(set, w.data, w.dtype == DType::s8, w.shape[0], w.shape[1], groups, window,
                          layer.w_zero_or_null());
  }
  if (w.dtype == DType::f32) {
    return pack_conv_f32(set, w.as<float>(), w.shape[0], w.shape[1], groups, window);
  }
  const std::vector<float> values = layer.float_weights(w, 0);
  return pack_conv_f32(set, values.data(), w.shape[0], w.shape[1], groups, window);
}

}  // namespace pycompress
