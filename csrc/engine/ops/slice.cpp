// Slice: any starts, ends and steps, negative ones too.
#include <algorithm>

#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

struct SliceState final : OpState {
  SliceState(const StridedLoop<2>& loop, int64_t offset) : loop(loop), offset(offset) {}
  StridedLoop<2> loop;
  int64_t offset;
};

class Slice final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const std::vector<int64_t> starts = plan.integers(1, "starts");
    const std::vector<int64_t> ends = plan.integers(2, "ends");
    std::vector<int64_t> axes;
    std::vector<int64_t> steps(starts.size(), 1);
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
    if (plan.has(3)) axes = plan.integers(3, "axes");
    if (plan.has(4)) steps = plan.integers(4, "steps");
    if (ends.size() != starts.size() || axes.size() != starts.size() ||
        steps.size() != starts.size()) {
      fail("starts, ends, axes and steps differ in length");
    }
    int64_t from[kMaxRank];
    int64_t to[kMaxRank];
    row_major_strides(in, from);
    Shape out = in;
    int64_t offset = 0;
    bool seen[kMaxRank] = {};
    for (size_t i = 0; i < starts.size(); ++i) {
      const int axis = normalize_axis(axes[i], in.rank());
      if (seen[axis]) fail("axis " + str(axis) + " is sliced twice");
      seen[axis] = true;
      const int64_t dim = in[axis];
      const int64_t step = steps[i];
      if (step == 0) fail("the step of axis " + str(axis) + " is 0");
      // Backwards, -1 stands for "before the first".
      const int64_t low = step > 0 ? 0 : -1;
      const int64_t high = step > 0 ? dim : dim - 1;
      const auto bound = [&](int64_t at) { return std::clamp(at < 0 ? at + dim : at, low, high); };
      const int64_t start =
          step > 0 ? bound(starts[i]) : std::max<int64_t>(bound(starts[i]), dim == 0 ? -1 : 0);
      const int64_t end = bound(ends[i]);
      const int64_t span = step > 0 ? end - start : start - end;
      const int64_t stride = step == INT64_MIN ? INT64_MAX : step > 0 ? step : -step;
      out[axis] = span <= 0 ? 0 : (span - 1) / stride + 1;
      offset += out[axis] == 0 ? 0 : start * from[axis];
      // A single element needs no step, and a huge one must not overflow.
      from[axis] *= out[axis] > 1 ? step : 0;
    }
    plan.output(0, plan.dtype(0), out);
    if (out == in && offset == 0) {
      plan.view(0, 0);
      return nullptr;
    }
    row_major_strides(out, to);
    return std::make_unique<SliceState>(StridedLoop<2>(out, {from, to}), offset);
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    const auto& state = run.state<SliceState>();
    const size_t size = dtype_size(x.dtype);
    copy_strided(run.pool(), state.loop, size,
                 x.as<uint8_t>() + state.offset * static_cast<int64_t>(size), y.data);
  }
};

}  // namespace

OpPtr make_slice(const NodeDef&) { return std::make_unique<Slice>(); }

}  // namespace pycompress
