// DepthToSpace, SpaceToDepth, ReverseSequence and BitCast: elements at other places, or read as
// something else.
#include <cstring>

#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

struct MoveState final : OpState {
  explicit MoveState(const StridedLoop<2>& loop) : loop(loop) {}
  StridedLoop<2> loop;  // from, to
};

// Blocks of pixels to channels or back: a transposition of six axes.
class Blocks final : public Op {
 public:
  // columns_first: the channel number counts blocks fastest (CRD).
  Blocks(int64_t size, bool to_space, bool columns_first)
      : size_(size), to_space_(to_space), columns_first_(columns_first) {
    if (size < 1) fail("attribute 'blocksize' must be at least 1, found " + str(size));
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    const int64_t b = size_;
    const bool fits = x.rank() == 4 && (to_space_ ? x[1] % b == 0 && x[1] / b % b == 0
                                                  : x[2] % b == 0 && x[3] % b == 0);
    if (!fits) fail("input 0 of shape " + x.str() + " cannot be cut into blocks of " + str(b));
    const int64_t channels = to_space_ ? x[1] / b / b : x[1];
    const int64_t height = to_space_ ? x[2] : x[2] / b;
    const int64_t width = to_space_ ? x[3] : x[3] / b;
    const int64_t plane = height * width;
    const int64_t image = channels * b * b * plane;
    // Sizes, and the steps in either form: as channels of blocks, and as pixels.
    const Axis n{x[0], image, image};
    const Axis row{b, columns_first_ ? b * plane : b * channels * plane, width * b};
    const Axis column{b, columns_first_ ? plane : channels * plane, 1};
    const Axis channel{channels, columns_first_ ? b * b * plane : plane, b * b * plane};
    const Axis down{height, width, width * b * b};
    const Axis across{width, 1, b};
    if (to_space_) {
      plan.output(0, plan.dtype(0), Shape{x[0], channels, height * b, width * b});
      return moves({n, channel, down, row, across, column});
    }
    plan.output(0, plan.dtype(0), Shape{x[0], channels * b * b, height, width});
    if (columns_first_) return moves({n, channel, row, column, down, across});
    return moves({n, row, column, channel, down, across});
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    if (x.elements() == 0) return;
    copy_strided(run.pool(), run.state<MoveState>().loop, dtype_size(x.dtype), x.data,
                 run.output(0).data);
  }

 private:
  struct Axis {
    int64_t size, deep, flat;
  };

  // Axes in the order of the result.
  std::unique_ptr<OpState> moves(std::initializer_list<Axis> axes) const {
    Shape walked;
    int64_t deep[kMaxRank];
    int64_t flat[kMaxRank];
    for (const Axis& axis : axes) {
      deep[walked.rank()] = axis.deep;
      flat[walked.rank()] = axis.flat;
      walked.push(axis.size);
    }
    if (to_space_) return std::make_unique<MoveState>(StridedLoop<2>(walked, {deep, flat}));
    return std::make_unique<MoveState>(StridedLoop<2>(walked, {flat, deep}));
  }

  int64_t size_;
  bool to_space_, columns_first_;
};

class ReverseSequence final : public Op {
 public:
  ReverseSequence(int64_t batch_axis, int64_t time_axis) : batch_(batch_axis), time_(time_axis) {
    if (batch_ < 0 || batch_ > 1 || time_ != 1 - batch_)
      fail("attributes 'batch_axis' and 'time_axis' must be 0 and 1, or 1 and 0");
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    if (x.rank() < 2) fail("input 0 of shape " + x.str() + " must have two dimensions or more");
    plan.need_dtype(1, DType::s64, "sequence_lens");
    if (plan.shape(1) != Shape{x[static_cast<int>(batch_)]})
      fail("sequence_lens has shape " + plan.shape(1).str() + ", wanted [" +
           str(x[static_cast<int>(batch_)]) + "]");
    plan.output(0, plan.dtype(0), x);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const int64_t steps = x.shape[static_cast<int>(time_)];
    const int64_t batch = x.shape[static_cast<int>(batch_)];
    const size_t row =
        static_cast<size_t>(x.shape.product(2, x.shape.rank())) * dtype_size(x.dtype);
    const auto at = [&](int64_t t, int64_t b) {
      return static_cast<size_t>(time_ == 0 ? t * batch + b : b * steps + t) * row;
    };
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t length = run.input(1).as<int64_t>()[b];
      if (length < 0 || length > steps)
        fail("sequence_lens has " + str(length) + ", input 0 has " + str(steps) + " steps");
      for (int64_t t = 0; t < steps && row > 0; ++t) {
        const int64_t from = t < length ? length - 1 - t : t;
        std::memcpy(run.output(0).as<uint8_t>() + at(t, b), x.as<uint8_t>() + at(from, b), row);
      }
    }
  }

 private:
  int64_t batch_, time_;
};

class BitCast final : public Op {
 public:
  explicit BitCast(DType to) : to_(to) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (dtype_size(to_) != dtype_size(plan.dtype(0)))
      fail(std::string(dtype_name(plan.dtype(0))) + " and " + dtype_name(to_) +
           " differ in their number of bits");
    plan.output(0, to_, plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  // A bool is 0 or 1 in every kernel.
  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (y.dtype == DType::b8) {
      for (int64_t i = 0; i < y.elements(); ++i) y.as<bool>()[i] = x.as<uint8_t>()[i] != 0;
    } else if (y.data != x.data && y.elements() > 0) {
      std::memcpy(y.data, x.data, y.bytes());
    }
  }

 private:
  DType to_;
};

OpPtr make_blocks(const NodeDef& node, bool to_space) {
  const std::string mode = node.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    fail("attribute 'mode' must be DCR or CRD, found '" + mode + "'");
  return std::make_unique<Blocks>(node.integer("blocksize", 0), to_space, mode == "CRD");
}

}  // namespace

OpPtr make_depth_to_space(const NodeDef& node) { return make_blocks(node, true); }
OpPtr make_space_to_depth(const NodeDef& node) { return make_blocks(node, false); }

OpPtr make_reverse_sequence(const NodeDef& node) {
  return std::make_unique<ReverseSequence>(node.integer("batch_axis", 1),
                                           node.integer("time_axis", 0));
}

OpPtr make_bit_cast(const NodeDef& node) {
  return std::make_unique<BitCast>(dtype_of_onnx(node.integer("to", 0)));
}

}  // namespace pycompress
