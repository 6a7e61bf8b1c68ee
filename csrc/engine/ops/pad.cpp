// Pad: constant, edge, reflect and wrap, with negative pads that cut. Each axis has a table of the
// input's index for every index of the result, -1 where the constant goes. The axes behind the last
// one that is padded are one unit.
#include <algorithm>
#include <cstring>

#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

enum class PadMode { constant, edge, reflect, wrap };

struct PadState final : OpState {
  std::vector<std::vector<int64_t>> from;  // by axis, up to `last`
  int last = 0;                            // the last axis that is padded
  int64_t unit = 1;                        // elements behind it
  int64_t copy_first = 0;  // the run of that axis that is copied as it is: result index,
  int64_t copy_from = 0;   // input index,
  int64_t copy_count = 0;  // length
};

int64_t source_index(PadMode mode, int64_t i, int64_t dim) {
  if (i >= 0 && i < dim) return i;
  switch (mode) {
    case PadMode::constant:
      return -1;
    case PadMode::edge:
      return i < 0 ? 0 : dim - 1;
    case PadMode::wrap:
      return (i % dim + dim) % dim;
    case PadMode::reflect:
      break;
  }
  if (dim == 1) return 0;
  const int64_t period = 2 * (dim - 1);
  const int64_t at = (i % period + period) % period;
  return at < dim ? at : period - at;
}

// to[i] = from[picked[i]], a T each: a call of memcpy that does not know the size takes ten times
// as long.
template <typename T>
void pick(const uint8_t* from, const int64_t* picked, int64_t count, uint8_t* to) {
  for (int64_t i = 0; i < count; ++i, to += sizeof(T))
    std::memcpy(to, from + picked[i] * static_cast<int64_t>(sizeof(T)), sizeof(T));
}

void copy_picked(const uint8_t* from, const int64_t* picked, int64_t count, int64_t size,
                 uint8_t* to) {
  if (size == 1) return pick<uint8_t>(from, picked, count, to);
  if (size == 4) return pick<uint32_t>(from, picked, count, to);
  if (size == 8) return pick<uint64_t>(from, picked, count, to);
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * size, from + picked[i] * size, static_cast<size_t>(size));
}

class Pad final : public Op {
 public:
  explicit Pad(PadMode mode) : mode_(mode) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int rank = in.rank();
    const std::vector<int64_t> pads = plan.integers(1, "pads");
    std::vector<int64_t> axes;
    for (int i = 0; i < rank; ++i) axes.push_back(i);
    if (plan.has(3)) axes = plan.integers(3, "axes");
    if (pads.size() != 2 * axes.size()) {
      fail("pads has " + str(static_cast<int64_t>(pads.size())) + " values for " +
           str(static_cast<int64_t>(axes.size())) + " axes");
    }
    if (plan.has(2)) {
      plan.need_dtype(2, plan.dtype(0), "constant_value");
      if (plan.shape(2).elements() != 1)
        fail("constant_value must be a scalar, found shape " + plan.shape(2).str());
    }
    int64_t begin[kMaxRank] = {};
    int64_t end[kMaxRank] = {};
    for (size_t i = 0; i < axes.size(); ++i) {
      const int axis = normalize_axis(axes[i], rank);
      begin[axis] = pads[i];
      end[axis] = pads[i + axes.size()];
      if (std::max(std::abs(begin[axis]), std::abs(end[axis])) > kMaxElements)
        fail("pads are out of range");
    }
    Shape out = in;
    bool same = true;
    for (int i = 0; i < rank; ++i) {
      out[i] = in[i] + begin[i] + end[i];
      same = same && begin[i] == 0 && end[i] == 0;
      if (mode_ != PadMode::constant && in[i] == 0 && out[i] > 0)
        fail("there is nothing to pad from in " + in.str());
    }
    plan.output(0, plan.dtype(0), out);
    if (same) {
      plan.view(0, 0);
      return nullptr;
    }
    auto state = std::make_unique<PadState>();
    state->last = rank - 1;
    while (begin[state->last] == 0 && end[state->last] == 0) --state->last;
    const int last = state->last;
    state->unit = in.product(last + 1, rank);
    for (int i = 0; i <= last; ++i) {
      std::vector<int64_t> table;
      // A table is not longer than the result; an empty result needs none.
      for (int64_t j = 0; j < (out.elements() == 0 ? 0 : out[i]); ++j)
        table.push_back(source_index(mode_, j - begin[i], in[i]));
      state->from.push_back(std::move(table));
    }
    state->copy_first = std::clamp<int64_t>(begin[last], 0, out[last]);
    state->copy_from = std::max<int64_t>(0, -begin[last]);
    state->copy_count =
        std::max<int64_t>(0, std::min(in[last] - state->copy_from, out[last] - state->copy_first));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<PadState>();
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    const int last = state.last;
    const size_t element = dtype_size(x.dtype);
    const int64_t size = state.unit * static_cast<int64_t>(element);
    const uint64_t nothing = 0;
    const void* value = run.has(2) ? run.input(2).data : &nothing;
    const int64_t n = y.shape[last];
    const auto* src = x.as<uint8_t>();
    parallel_ranges(
        run.pool(), y.shape.product(0, last), 0.25 * static_cast<double>(n * size) + 8.0,
        [&](int64_t begin, int64_t end) {
          for (int64_t row = begin; row < end; ++row) {
            int64_t from = 0;
            int64_t rest = row;
            int64_t stride = 1;
            bool outside = false;
            for (int i = last - 1; i >= 0; --i) {
              const int64_t index =
                  state.from[static_cast<size_t>(i)][static_cast<size_t>(rest % y.shape[i])];
              outside = outside || index < 0;
              from += index * stride;
              rest /= y.shape[i];
              stride *= x.shape[i];
            }
            auto* to = y.as<uint8_t>() + row * n * size;
            const auto fill = [&](int64_t first, int64_t count) {
              copy_elements(value, 0, count * state.unit, element, to + first * size);
            };
            if (outside) {
              fill(0, n);
              continue;
            }
            const uint8_t* line = src + from * x.shape[last] * size;
            const auto& table = state.from[static_cast<size_t>(last)];
            const auto pad = [&](int64_t first, int64_t count) {
              if (mode_ == PadMode::constant) return fill(first, count);
              copy_picked(line, table.data() + first, count, size, to + first * size);
            };
            const int64_t behind = state.copy_first + state.copy_count;
            pad(0, state.copy_first);
            std::memcpy(to + state.copy_first * size, line + state.copy_from * size,
                        static_cast<size_t>(state.copy_count * size));
            pad(behind, n - behind);
          }
        });
  }

 private:
  PadMode mode_;
};

}  // namespace

OpPtr make_pad(const NodeDef& node) {
  const std::string mode = node.text("mode", "constant");
  if (mode == "constant") return std::make_unique<Pad>(PadMode::constant);
  if (mode == "edge") return std::make_unique<Pad>(PadMode::edge);
  if (mode == "reflect") return std::make_unique<Pad>(PadMode::reflect);
  if (mode == "wrap") return std::make_unique<Pad>(PadMode::wrap);
  fail("attribute 'mode' must be constant, edge, reflect or wrap, found '" + mode + "'");
}

}  // namespace pycompress
