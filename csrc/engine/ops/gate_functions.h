// The activations that the standard gives to gates of RNN, GRU and LSTM.
#pragma once
#include <initializer_list>
#include <vector>

#include "engine/op.h"

namespace pycompress {

// What has no kernel of its own among the pointwise ones.
enum class GateExtra { none, affine, thresholded_relu, scaled_tanh, softsign };

struct GateFunction {
  Unary op = Unary::identity;
  GateExtra extra = GateExtra::none;  // takes the place of `op`
  float alpha = 0.0f, beta = 0.0f;

  void operator()(const PointwiseKernels& pointwise, float* x, int64_t n, float* y) const;
};

// `each` functions for each direction, by the attributes 'activations', 'activation_alpha' and
// 'activation_beta'; `otherwise` when they are absent. A function that takes a parameter takes the
// next of the list, and has a default when the list has ended.
std::vector<GateFunction> read_gate_functions(const NodeDef& node, int64_t directions, size_t each,
                                              std::initializer_list<const char*> otherwise);

}  // namespace pycompress
