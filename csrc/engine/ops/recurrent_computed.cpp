// LSTM, GRU and RNN whose weights are no constants: each run makes the operator for its weights.
#include <map>

#include "engine/ops/ops.h"
#include "engine/ops/recurrent.h"

namespace pycompress {
namespace {

using Make = OpPtr (*)(const NodeDef& node);

class ComputedRecurrent final : public Op {
 public:
  ComputedRecurrent(const NodeDef& node, Make make, int64_t gates)
      : attrs_(node.all_attrs()), outputs_(node.outputs()), set_(node.set()), make_(make) {
    for (int i = 0; i < node.inputs(); ++i) present_.push_back(node.has(i));
    // With the smallest weights, so that what is wrong with the other attributes shows now.
    const int64_t directions = node.text("direction", "forward") == "bidirectional" ? 2 : 1;
    Attrs smallest = attrs_;
    smallest["hidden_size"] = int64_t{1};
    made_for(smallest, {{1, {directions, gates, 1}},
                        {2, {directions, gates, 1}},
                        {3, {directions, 2 * gates}},
                        {7, {directions, 3}}});
  }

  // The state and the scratch are those of the operator that the run makes: they follow from the
  // shapes alone.
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    std::map<int, Shape> shapes;
    for (const int i : kWeights) {
      if (!plan.has(i)) continue;
      plan.need_dtype(i, DType::f32, "weights");
      shapes[i] = plan.shape(i);
    }
    return made_for(attrs_, shapes)->plan(plan);
  }

  void run(const RunContext& run) const override {
    std::map<int, Tensor> weights;
    for (const int i : kWeights) {
      if (run.has(i)) weights[i] = run.input(i);
    }
    made(attrs_, weights, run.pool())->run(run);
  }

 private:
  static constexpr int kWeights[] = {1, 2, 3, 7};

  OpPtr made_for(const Attrs& attrs, const std::map<int, Shape>& shapes) const {
    std::map<int, Tensor> weights;
    std::vector<std::vector<float>> zeros;
    for (const auto& [i, shape] : shapes) {
      zeros.emplace_back(static_cast<size_t>(shape.elements()));
      weights[i] = Tensor{DType::f32, shape, zeros.back().data()};
    }
    return made(attrs, weights, nullptr);
  }

  OpPtr made(const Attrs& attrs, const std::map<int, Tensor>& weights, ThreadPool* pool) const {
    std::vector<const Tensor*> constants(present_.size(), nullptr);
    for (const auto& [i, tensor] : weights) {
      const auto at = static_cast<size_t>(i);
      if (at < constants.size() && present_[at]) constants[at] = &tensor;
    }
    PackStore store;
    const NodeDef node(attrs, constants, present_, outputs_, set_, pool, &store);
    OpPtr op = make_(node);
    node.check_all_read();
    return op;
  }

  Attrs attrs_;
  std::vector<bool> present_;
  int outputs_;
  const KernelSet& set_;
  Make make_;
};

}  // namespace

OpPtr make_computed_recurrent(const NodeDef& node, Make make, int64_t gates) {
  return std::make_unique<ComputedRecurrent>(node, make, gates);
}

}  // namespace pycompress
