// What LSTM, GRU and RNN have in common: attributes, shapes, biases and packed input weights.
#pragma once
#include <vector>

#include "engine/op.h"
#include "engine/ops/gates.h"

namespace pycompress {

struct Sequence {
  Sequence(const NodeDef& node, int64_t gate_count);

  // Packs rows [first, first + count) of each direction's R.
  std::vector<GateWeights> pack_recurrent(const NodeDef& node, int64_t first, int64_t count) const;

  const float* input_bias(int64_t d) const { return bias.data() + d * 2 * gates * hidden; }
  const float* recurrent_bias(int64_t d) const { return input_bias(d) + gates * hidden; }

  int64_t gates, directions = 1, hidden = 0, inputs = 0;
  bool starts_reversed = false, batch_first = false;
  float clip = 0.0f;
  std::vector<float> bias;  // [directions][2 * gates * hidden]
  std::vector<GateWeights> input_weights;
  std::vector<float> r_scale;  // [gates * hidden] of an int8 R
};

}  // namespace pycompress
