#include "engine/ops/sequence.h"

namespace pycompress {
namespace {

// One scale per row of a direction, for int8 weights; none for float32.
std::vector<float> read_scale(const NodeDef& node, const Tensor& weights, const char* what,
                              const char* attr, int64_t rows) {
  std::vector<float> scale = node.numbers(attr);
  if (weights.dtype == DType::f32 && scale.empty()) return scale;
  if (weights.dtype != DType::s8) {
    fail(std::string(what) + " must be float32, or int8 with attribute '" + attr + "', found " +
         dtype_name(weights.dtype));
  }
  if (scale.size() == 1) scale.assign(static_cast<size_t>(rows), scale[0]);
  if (scale.size() != static_cast<size_t>(rows)) {
    fail(std::string("attribute '") + attr + "' has " + str(static_cast<int64_t>(scale.size())) +
         " numbers, wanted " + str(rows));
  }
  return scale;
}

}  // namespace

Sequence::Sequence(const NodeDef& node, int64_t gate_count) : gates(gate_count) {
  const std::string direction = node.text("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    fail("attribute 'direction' must be forward, reverse or bidirectional, found '" + direction +
         "'");
  }
  directions = direction == "bidirectional" ? 2 : 1;
  starts_reversed = direction == "reverse";
  batch_first = node.flag("layout", false);
  clip = node.number("clip", 0.0f);
  const Tensor& w = node.need_weights(1, "W");
  const Tensor& r = node.need_weights(2, "R");
  hidden = r.shape.rank() == 3 ? r.shape[2] : -1;
  inputs = w.shape.rank() == 3 ? w.shape[2] : -1;
  const Shape w_wanted{directions, gates * hidden, inputs};
  const Shape r_wanted{directions, gates * hidden, hidden};
  if (w.shape != w_wanted || r.shape != r_wanted || node.integer("hidden_size", hidden) != hidden) {
    fail("W of shape " + w.shape.str() + " and R of shape " + r.shape.str() + " do not fit " +
         str(directions) + " directions and hidden_size " +
         str(node.integer("hidden_size", hidden)));
  }
  const std::vector<float> w_scale = read_scale(node, w, "W", "w_scale", gates * hidden);
  r_scale = read_scale(node, r, "R", "r_scale", gates * hidden);
  if (node.has(3)) {
    const Tensor& b = node.need_constant(3, "B");
    if (b.dtype != DType::f32 || b.shape != Shape{directions, 2 * gates * hidden}) {
      fail("input 3 (B) has shape " + b.shape.str() + ", wanted " +
           Shape{directions, 2 * gates * hidden}.str());
    }
    bias.assign(b.as<float>(), b.as<float>() + b.elements());
  } else {
    bias.assign(static_cast<size_t>(directions * 2 * gates * hidden), 0.0f);
  }
  for (int64_t d = 0; d < directions; ++d) {
    input_weights.push_back(
        pack_gates(node, w, d * gates * hidden, gates * hidden, inputs, w_scale.data()));
  }
  node.release(1);
  node.release(2);
}

std::vector<GateWeights> Sequence::pack_recurrent(const NodeDef& node, int64_t first,
                                                  int64_t count) const {
  const Tensor& r = node.need_weights(2, "R");
  std::vector<GateWeights> packed;
  for (int64_t d = 0; d < directions; ++d) {
    packed.push_back(
        pack_gates(node, r, d * gates * hidden + first, count, hidden, r_scale.data() + first));
  }
  return packed;
}

}  // namespace pycompress
