// Transpose: a view when only dimensions of 1 move, else tiles.
#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

struct TransposeState final : OpState {
  explicit TransposeState(const StridedLoop<2>& loop) : loop(loop) {}
  StridedLoop<2> loop;
};

class Transpose final : public Op {
 public:
  explicit Transpose(std::vector<int64_t> perm) : perm_(std::move(perm)) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int rank = in.rank();
    if (!perm_.empty() && static_cast<int>(perm_.size()) != rank) {
      fail("attribute 'perm' has " + str(static_cast<int64_t>(perm_.size())) +
           " axes for a tensor of shape " + in.str());
    }
    int64_t strides[kMaxRank];
    int64_t from[kMaxRank];
    int64_t to[kMaxRank];
    bool seen[kMaxRank] = {};
    row_major_strides(in, strides);
    Shape out;
    int previous = -1;
    bool in_order = true;
    for (int i = 0; i < rank; ++i) {
      const int axis =
          perm_.empty() ? rank - 1 - i : normalize_axis(perm_[static_cast<size_t>(i)], rank);
      if (seen[axis]) fail("attribute 'perm' names axis " + str(axis) + " twice");
      seen[axis] = true;
      out.push(in[axis]);
      from[i] = strides[axis];
      if (in[axis] == 1) continue;
      in_order = in_order && axis > previous;
      previous = axis;
    }
    plan.output(0, plan.dtype(0), out);
    if (in_order) {
      plan.view(0, 0);
      return nullptr;
    }
    row_major_strides(out, to);
    return std::make_unique<TransposeState>(StridedLoop<2>(out, {from, to}));
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    if (x.elements() == 0) return;
    copy_strided(run.pool(), run.state<TransposeState>().loop, dtype_size(x.dtype), x.data,
                 run.output(0).data);
  }

 private:
  std::vector<int64_t> perm_;
};

}  // namespace

OpPtr make_transpose(const NodeDef& node) {
  return std::make_unique<Transpose>(node.integers("perm"));
}

}  // namespace pycompress
