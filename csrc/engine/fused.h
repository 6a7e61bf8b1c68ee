// What the layers with constant weights share (linear, conv, conv_transpose): their attributes,
// their quantization parameters, and the epilogue that turns sums into outputs.
//
// How an operator uses it:
//   constructor  Layer layer(node, channel_axis) reads w_scale, w_zero, x_scale, x_zero, dynamic,
//   y_*, res_*, activation,
//                alpha, beta, gain, shift and the bias, and says which of the three ways (`mode`)
//                the layer runs. Pack float_weights(...) when mode is f32, else the integers of w
//                with layer.w_zero_or_null().
//   plan()       layer.check_inputs(plan) checks types; LayerEpilogue ready(layer, init) computes
//   scale, bias and bounds once;
//                init: [N] from gemm_init(packed, layer.x_zero, x_signed, layer.int_bias_or_null(),
//                ...), empty in mode f32.
//   run()        Epilogue e = ready.epilogue(residual, ld). In mode dynamic: quantize_dynamic()
//   gives x in u8 with
//                its scale and zero point, then ready.dynamic_epilogue(...) instead.
//   activations  none, relu and clip are clamps inside the epilogue. When layer.finishes() is true,
//   the activation is another one:
//                the epilogue then leaves float32 sums (no residual inside if the output is
//                integer); call finish_rows() on every block of rows while it is hot in cache.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/op.h"
#include "gemm/gemm.h"

namespace pycompress {

// gain * op(x) + shift, each step rounded.
struct Activation {
  Unary op = Unary::identity;
  float alpha = 0.0f;
  float beta = 0.0f;
  float gain = 1.0f;
  float shift = 0.0f;

  bool clamps() const {
    const bool clamp = op == Unary::identity || op == Unary::relu || op == Unary::clip;
    return clamp && gain == 1.0f && shift == 0.0f;
  }
  float lo() const;
  float hi() const;
};

// Reads attributes activation, alpha and beta.
Activation read_activation(const NodeDef& node);

enum class LayerMode {
  f32,      // float32 x; weights are float32, or integers that are dequantized at load
  integer,  // u8 or s8 x with a fixed scale and zero point
  dynamic,  // float32 x, quantized to u8 at each run with the scale that its range gives
};

struct Layer {
  // Inputs x, w, bias?, residual?; the channels lie on `channel_axis` of w, or are that many when
  // `channels` is not 0 (conv_transpose with groups).
  Layer(const NodeDef& node, int channel_axis, int64_t channels = 0);
  Layer() = default;  // for callers that have no node: fill the members

  LayerMode mode = LayerMode::f32;
  int64_t channels = 0;
  Activation activation;
  bool has_bias = false;
  bool has_residual = false;
  std::vector<float> w_scale;   // [channels]; empty for float weights
  std::vector<int32_t> w_zero;  // [channels] in w's type; empty when all are zero
  std::vector<float> bias;      // float32 bias; empty when absent or int32
  std::vector<int32_t> int_bias;
  float x_scale = 1.0f;
  int32_t x_zero = 0;
  bool x_handed = false;  // dynamic: x comes in u8, and somebody has its scales
  bool integer_out = false;
  DType y_dtype = DType::f32;
  float y_scale = 1.0f;
  int32_t y_zero = 0;
  float res_scale = 1.0f;
  int32_t res_zero = 0;

  const int32_t* w_zero_or_null() const { return w_zero.empty() ? nullptr : w_zero.data(); }
  const int32_t* int_bias_or_null() const { return int_bias.empty() ? nullptr : int_bias.data(); }
  // Whether rows of sums are left for finish_rows(): float layers quantize there, too.
  bool finishes() const { return !activation.clamps() || (integer_out && mode == LayerMode::f32); }
  Out out() const;  // what the epilogue stores

  // Checks the types of x and of the residual; `y` is the output's shape, which the residual must
  // have.
  void check_inputs(const PlanContext& plan, const Shape& y) const;
  // The weights as float32, in w's layout, dequantized when they are integers. When there are more
  // channels than the axis is long, w's first axis holds that many groups of them (conv_transpose).
  std::vector<float> float_weights(const Tensor& w, int channel_axis) const;

  // Rows of float32 sums -> the activation, then (integer output) residual before it and
  // quantization after it. float32 output: in place, y == sums. n columns each.
  void finish_rows(const KernelSet& set, float* sums, int64_t rows, int64_t n, int64_t ld,
                   const void* residual, int64_t residual_ld, void* y, int64_t ldy) const;

 private:
  void finish(const KernelSet& set, float* sums, int64_t n, const uint8_t* residual, void* y) const;
};

// An epilogue's arrays, ready for many runs.
class LayerEpilogue {
 public:
  LayerEpilogue() = default;
  // col_zero: PackedB's, or null.
  LayerEpilogue(const Layer& layer, std::vector<int32_t> init, const int32_t* col_zero);

  // residual: null when there is none, or when Layer::finish_rows adds it.
  Epilogue epilogue(const void* residual, int64_t residual_ld) const;
  // Lets a depthwise convolution's kernels apply the layer's activation, where they can.
  void swish_inside(const KernelSet& set);
  // Whether nothing is left for Layer::finish_rows although the activation is no clamp.
  bool swishes() const { return swishes_; }
  // Fills scale[channels] and init[channels] (the caller's scratch) for this x; col_sum as PackedB
  // has it.
  Epilogue dynamic_epilogue(const PackedB& packed, float x_scale, int32_t x_zero, float* scale,
                            int32_t* init, const void* residual, int64_t residual_ld) const;

 private:
  const Layer* layer_ = nullptr;
  std::vector<int32_t> init_;
  std::vector<float> scale_;
  std::vector<float> bias_;
  Epilogue base_;
  HardSwish hard_swish_;
  bool swishes_ = false;
};

struct DynamicScale {
  float scale = 1.0f;
  int32_t zero = 0;
};

// Those of values from low to high.
DynamicScale scale_of_range(float low, float high);
// a * b / unit, rounded once.
float in_units_of(float unit, float a, float b = 1.0f);
// ONNX DynamicQuantizeLinear's scale and zero point of x (a range that includes 0; all zeros: scale
// 1).
DynamicScale dynamic_scale(const KernelSet& set, ThreadPool* pool, const float* x, int64_t n);
// The same, and q = the n values in u8.
DynamicScale quantize_dynamic(const KernelSet& set, ThreadPool* pool, const float* x, int64_t n,
                              uint8_t* q);
// The same for each row of k values on its own: scale[rows] and zero[rows].
void quantize_rows(const KernelSet& set, ThreadPool* pool, const float* x, int64_t rows, int64_t k,
                   uint8_t* q, float* scale, int32_t* zero);

}  // namespace pycompress
