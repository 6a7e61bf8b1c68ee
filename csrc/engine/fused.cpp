#include "engine/fused.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/activation_names.h"

namespace pycompress {
namespace {

constexpr int64_t kRowBytes = 16 * 1024;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float positive_scale(const NodeDef& node, const char* name) {
  const float scale = node.number(name, 1.0f);
  if (!(scale > 0.0f) || std::isinf(scale))
    fail("attribute '" + std::string(name) + "' must be positive and finite");
  return scale;
}

int32_t zero_in_range(const NodeDef& node, const char* name) {
  const int64_t zero = node.integer(name, 0);
  if (zero < -128 || zero > 255)
    fail("attribute '" + std::string(name) + "' is out of the 8-bit range: " + str(zero));
  return static_cast<int32_t>(zero);
}

template <typename T>
std::vector<T> broadcast(std::vector<T> values, int64_t n, const char* name) {
  if (values.size() == 1 && n != 1) values.assign(static_cast<size_t>(n), values[0]);
  if (static_cast<int64_t>(values.size()) != n) {
    fail("attribute '" + std::string(name) + "' must have 1 or " + str(n) + " values, found " +
         str(static_cast<int64_t>(values.size())));
  }
  return values;
}

DType read_output_type(const NodeDef& node) {
  const std::string name = node.text("y_dtype", "uint8");
  if (name == "uint8") return DType::u8;
  if (name == "int8") return DType::s8;
  fail("attribute 'y_dtype' must be uint8 or int8, found '" + name + "'");
}

}  // namespace

float in_units_of(float unit, float a, float b) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) /
                            static_cast<double>(unit));
}

float Activation::lo() const {
  if (op == Unary::relu) return 0.0f;
  return op == Unary::clip ? alpha : -kInfinity;
}

float Activation::hi() const { return op == Unary::clip ? beta : kInfinity; }

Activation read_activation(const NodeDef& node) {
  Activation activation;
  const std::string name = node.text("activation", "");
  activation.op = unary_of(name);
  const UnaryDefaults defaults = unary_defaults(activation.op);
  activation.alpha = node.number("alpha", defaults.alpha);
  activation.beta = node.number("beta", defaults.beta);
  return activation;
}

Layer::Layer(const NodeDef& node, int channel_axis, int64_t channel_count) {
  const Tensor& w = node.need_weights(1, "w");
  if (channel_axis >= w.shape.rank())
    fail("input 1 (w) has shape " + w.shape.str() + ", which lacks axis " + str(channel_axis));
  channels = channel_count != 0 ? channel_count : w.shape[channel_axis];
  activation = read_activation(node);
  activation.gain = node.number("gain", 1.0f);
  activation.shift = node.number("shift", 0.0f);
  has_bias = node.has(2);
  has_residual = node.has(3);

  const std::vector<float> scales = node.numbers("w_scale");
  const std::vector<int64_t> zeros = node.integers("w_zero");
  const bool dynamic = node.flag("dynamic", false);
  const bool fixed = node.has_attr("x_scale");
  x_scale = positive_scale(node, "x_scale");
  x_zero = zero_in_range(node, "x_zero");
  integer_out = node.has_attr("y_scale");
  y_scale = positive_scale(node, "y_scale");
  y_zero = zero_in_range(node, "y_zero");
  y_dtype = read_output_type(node);
  res_scale = positive_scale(node, "res_scale");
  res_zero = zero_in_range(node, "res_zero");
  if (!integer_out) y_dtype = DType::f32;

  if (is_integer8(w.dtype)) {
    if (scales.empty()) fail("integer weights need the attribute 'w_scale'");
    w_scale = broadcast(scales, channels, "w_scale");
    if (std::any_of(zeros.begin(), zeros.end(), [](int64_t zero) { return zero != 0; })) {
      for (int64_t zero : broadcast(zeros, channels, "w_zero"))
        w_zero.push_back(static_cast<int32_t>(zero));
    }
    mode = fixed ? LayerMode::integer : dynamic ? LayerMode::dynamic : LayerMode::f32;
  } else if (w.dtype != DType::f32) {
    fail(std::string("input 1 (w) must be float32, int8 or uint8, found ") + dtype_name(w.dtype));
  }
  if (integer_out && mode == LayerMode::dynamic)
    fail("attribute 'y_scale' is not for a layer with the attribute 'dynamic'");

  if (has_bias) {
    const Tensor& b = node.need_constant(2, "bias");
    if (b.elements() != channels) {
      fail("input 2 (bias) has shape " + b.shape.str() + ", wanted [" + str(channels) + "]");
    }
    if (b.dtype == DType::f32) {
      bias.assign(b.as<float>(), b.as<float>() + channels);
    } else if (b.dtype == DType::s32 && mode == LayerMode::integer) {
      int_bias.assign(b.as<int32_t>(), b.as<int32_t>() + channels);
    } else {
      fail(std::string("input 2 (bias) must be float32, or int32 beside integer x; found ") +
           dtype_name(b.dtype));
    }
  }
}

Out Layer::out() const {
  if (!integer_out || finishes()) return Out::f32;
  return y_dtype == DType::u8 ? Out::u8 : Out::s8;
}

void Layer::check_inputs(const PlanContext& plan, const Shape& y) const {
  if (mode == LayerMode::integer) {
    if (!is_integer8(plan.dtype(0))) {
      fail(std::string("input 0 (x) must be uint8 or int8, found ") + dtype_name(plan.dtype(0)));
    }
  } else {
    plan.need_dtype(0, x_handed ? DType::u8 : DType::f32, "x");
  }
  if (!has_residual) return;
  plan.need_dtype(3, y_dtype, "residual");
  if (plan.shape(3) != y) {
    fail("input 3 (residual) has shape " + plan.shape(3).str() + ", wanted " + y.str());
  }
}

std::vector<float> Layer::float_weights(const Tensor& w, int channel_axis) const {
  const int64_t n = w.elements();
  std::vector<float> out(static_cast<size_t>(n));
  if (w.dtype == DType::f32) {
    std::copy(w.as<float>(), w.as<float>() + n, out.begin());
    return out;
  }
  const int64_t dim = w.shape[channel_axis];
  const int64_t inner = w.shape.product(channel_axis + 1, w.shape.rank());
  const int64_t groups =
      channels / dim;  // conv_transpose: channel = group * dim + index on the axis
  const int64_t outer = w.shape.product(0, channel_axis);
  const int64_t per_group =
      groups == 0 ? 1 : std::max<int64_t>(outer / std::max<int64_t>(groups, 1), 1);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t o = i / (dim * inner);
    const int64_t group = groups > 1 ? o / per_group : 0;
    const auto c = static_cast<size_t>(group * dim + i / inner % dim);
    const int32_t q = w.dtype == DType::u8 ? w.as<uint8_t>()[i] : w.as<int8_t>()[i];
    out[static_cast<size_t>(i)] =
        static_cast<float>(q - (w_zero.empty() ? 0 : w_zero[c])) * w_scale[c];
  }
  return out;
}

void Layer::finish_rows(const KernelSet& set, float* sums, int64_t rows, int64_t n, int64_t ld,
                        const void* residual, int64_t residual_ld, void* y, int64_t ldy) const {
  constexpr int64_t kPiece = 2048;  // what all passes go over in turns stays in a first-level cache
  const auto* bytes = static_cast<const uint8_t*>(residual);
  auto* to = static_cast<uint8_t*>(y);
  // Rows that lie behind each other are one.
  if (ld == n && ldy == n && (bytes == nullptr || residual_ld == n)) {
    n *= rows;
    rows = 1;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; i += kPiece) {
      finish(set, sums + r * ld + i, std::min(kPiece, n - i),
             bytes == nullptr ? nullptr : bytes + r * residual_ld + i, to + r * ldy + i);
    }
  }
}

void Layer::finish(const KernelSet& set, float* sums, int64_t n, const uint8_t* residual,
                   void* y) const {
  const PointwiseKernels& pointwise = *set.pointwise;
  if (integer_out && residual != nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t q = y_dtype == DType::u8 ? residual[i] : static_cast<int8_t>(residual[i]);
      sums[i] += static_cast<float>(q - res_zero) * res_scale;
    }
  }
  const Activation& f = activation;
  if (integer_out && f.op == Unary::hard_swish) {
    const QuantizeKernels& quantize = *set.quantize;
    if (y_dtype == DType::u8) {
      quantize.hard_swish_u8(sums, n, f.gain, f.shift, y_scale, y_zero, static_cast<uint8_t*>(y));
    } else {
      quantize.hard_swish_s8(sums, n, f.gain, f.shift, y_scale, y_zero, static_cast<int8_t*>(y));
    }
    return;
  }
  if (f.op != Unary::identity) pointwise.unary(f.op, sums, n, f.alpha, f.beta, sums);
  if (f.gain != 1.0f) pointwise.binary(Binary::mul, sums, 1, &f.gain, 0, n, sums);
  if (f.shift != 0.0f) pointwise.binary(Binary::add, sums, 1, &f.shift, 0, n, sums);
  if (!integer_out) return;
  if (y_dtype == DType::u8) {
    set.quantize->to_u8(sums, n, &y_scale, &y_zero, 0, static_cast<uint8_t*>(y));
  } else {
    set.quantize->to_s8(sums, n, &y_scale, &y_zero, 0, static_cast<int8_t*>(y));
  }
}

LayerEpilogue::LayerEpilogue(const Layer& layer, std::vector<int32_t> init, const int32_t* col_zero)
    : layer_(&layer), init_(std::move(init)) {
  base_.out = layer.out();
  const float unit = base_.out == Out::f32 ? 1.0f : layer.y_scale;
  if (layer.mode == LayerMode::integer) {
    const float x_scale = layer.x_scale;
    scale_.resize(layer.w_scale.size());
    std::transform(layer.w_scale.begin(), layer.w_scale.end(), scale_.begin(),
                   [x_scale, unit](float w) { return in_units_of(unit, x_scale, w); });
  }
  bias_.resize(layer.bias.size());
  std::transform(layer.bias.begin(), layer.bias.end(), bias_.begin(),
                 [unit](float b) { return in_units_of(unit, b); });
  if (!layer.finishes()) {
    base_.lo = in_units_of(unit, layer.activation.lo());
    base_.hi = in_units_of(unit, layer.activation.hi());
  }
  base_.col_zero = col_zero;
  base_.residual_scale = in_units_of(unit, layer.res_scale);
  base_.residual_zero = layer.res_zero;
  base_.out_zero = layer.y_zero;
  if (layer.mode != LayerMode::integer) return;
  base_.clamp = clamp_of(epilogue(nullptr, 0), static_cast<int64_t>(scale_.size()));
}

void LayerEpilogue::swish_inside(const KernelSet& set) {
  const Activation& f = layer_->activation;
  if (!set.depthwise->swishes || f.op != Unary::hard_swish || !layer_->integer_out ||
      layer_->mode != LayerMode::integer || layer_->has_residual)
    return;
  hard_swish_ = {f.gain, f.shift};
  swishes_ = set.quantize->inverse(layer_->y_scale, &hard_swish_.reciprocal, &hard_swish_.rest);
  if (swishes_) base_.out = layer_->y_dtype == DType::u8 ? Out::u8 : Out::s8;
}

Epilogue LayerEpilogue::epilogue(const void* residual, int64_t residual_ld) const {
  Epilogue e = base_;
  e.init = init_.empty() ? nullptr : init_.data();
  e.scale = scale_.empty() ? nullptr : scale_.data();
  e.bias = bias_.empty() ? nullptr : bias_.data();
  e.residual = residual;
  e.residual_ld = residual_ld;
  e.hard_swish = swishes_ ? &hard_swish_ : nullptr;
  return e;
}

Epilogue LayerEpilogue::dynamic_epilogue(const PackedB& packed, float x_scale, int32_t x_zero,
                                         float* scale, int32_t* init, const void* residual,
                                         int64_t residual_ld) const {
  Epilogue e = epilogue(residual, residual_ld);
  gemm_init(packed, x_zero, false, nullptr, init);
  const float* w_scale = layer_->w_scale.data();
  for (size_t i = 0; i < layer_->w_scale.size(); ++i) scale[i] = x_scale * w_scale[i];
  e.init = init;
  e.scale = scale;
  return e;
}

DynamicScale scale_of_range(float low, float high) {
  low = std::min(0.0f, low);
  high = std::max(0.0f, high);
  DynamicScale result;
  if (low == high) return result;
  result.scale = (high - low) / 255.0f;
  const float zero = std::nearbyint(-low / result.scale);
  result.zero = zero >= 255.0f ? 255 : zero > 0.0f ? static_cast<int32_t>(zero) : 0;
  return result;
}

DynamicScale dynamic_scale(const KernelSet& set, ThreadPool* pool, const float* x, int64_t n) {
  constexpr int64_t kPieces = 64;
  float lo[kPieces];
  float hi[kPieces];
  const int threads = pool == nullptr ? 1 : pool->size();
  const int64_t pieces = n < 65536 ? 1 : std::min<int64_t>(kPieces, threads);
  parallel_for(pool, pieces, [&](int64_t piece, int) {
    const int64_t begin = n * piece / pieces;
    set.quantize->range(x + begin, n * (piece + 1) / pieces - begin, &lo[piece], &hi[piece]);
  });
  // Both ends include 0; max and min of floats do not depend on the pieces.
  return scale_of_range(*std::min_element(lo, lo + pieces), *std::max_element(hi, hi + pieces));
}

DynamicScale quantize_dynamic(const KernelSet& set, ThreadPool* pool, const float* x, int64_t n,
                              uint8_t* q) {
  const DynamicScale result = dynamic_scale(set, pool, x, n);
  parallel_ranges(pool, n, 0.5, [&](int64_t begin, int64_t end) {
    set.quantize->to_u8(x + begin, end - begin, &result.scale, &result.zero, 0, q + begin);
  });
  return result;
}

void quantize_rows(const KernelSet& set, ThreadPool* pool, const float* x, int64_t rows, int64_t k,
                   uint8_t* q, float* scale, int32_t* zero) {
  // Rows that are still in a first-level cache when their scales are known: dividing takes turns
  // with nothing, one row alone waits for it.
  const int64_t together = std::clamp<int64_t>(kRowBytes / 4 / std::max<int64_t>(k, 1), 1, 64);
  parallel_ranges(pool, rows, 1.0 * static_cast<double>(k), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += together) {
      const int64_t count = std::min(together, end - first);
      for (int64_t r = first; r < first + count; ++r) {
        float low;
        float high;
        set.quantize->range(x + r * k, k, &low, &high);
        const DynamicScale found = scale_of_range(low, high);
        scale[r] = found.scale;
        zero[r] = found.zero;
      }
      set.quantize->rows_u8(
          {x + first * k, count, k, k, scale + first, zero + first, q + first * k, false});
    }
  });
}

}  // namespace pycompress
