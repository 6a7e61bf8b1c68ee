// Transpose: a view when only dimensions of 1 move, else tiles. A short last axis that stays the
// last is one element.
#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

struct TransposeState final : OpState {
  TransposeState(const StridedLoop<2>& loop, size_t size) : loop(loop), size(size) {}
  StridedLoop<2> loop;
  size_t size;  // bytes of an element
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
    size_t size = dtype_size(plan.dtype(0));
    const int64_t last = out[rank - 1];
    const int64_t joined = last * static_cast<int64_t>(size);
    if (last > 1 && from[rank - 1] == 1 && (joined == 2 || joined == 4 || joined == 8)) {
      size = static_cast<size_t>(joined);
      out[rank - 1] = 1;
      for (int i = 0; i < rank; ++i) {
        from[i] /= last;
        to[i] /= last;
      }
    }
    return std::make_unique<TransposeState>(StridedLoop<2>(out, {from, to}), size);
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    if (x.elements() == 0) return;
    const auto& state = run.state<TransposeState>();
    copy_strided(run.pool(), state.loop, state.size, x.data, run.output(0).data);
  }

 private:
  std::vector<int64_t> perm_;
};

}  // namespace

OpPtr make_transpose(const NodeDef& node) {
  return std::make_unique<Transpose>(node.integers("perm"));
}

}  // namespace pycompress
