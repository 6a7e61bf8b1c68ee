// Operators that only rename a tensor or change its shape, and those that read a shape.
#include <algorithm>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

class View : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.output(0, plan.dtype(0), shape(plan));
    plan.view(0, 0);
    return nullptr;
  }
  void run(const RunContext&) const override {}

 protected:
  virtual Shape shape(const PlanContext& plan) const = 0;
};

class Identity final : public View {
  Shape shape(const PlanContext& plan) const override { return plan.shape(0); }
};

class Reshape final : public View {
 public:
  explicit Reshape(bool allow_zero) : allow_zero_(allow_zero) {}

 private:
  Shape shape(const PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const std::vector<int64_t> wanted = plan.integers(1, "shape");
    const std::string text = Shape(wanted).str();
    Shape out;
    int free = -1;
    int64_t known = 1;
    for (size_t i = 0; i < wanted.size(); ++i) {
      int64_t dim = wanted[i];
      if (dim == 0 && !allow_zero_) {
        if (static_cast<int>(i) >= in.rank())
          fail("shape " + text + " copies a dimension that " + in.str() + " lacks");
        dim = in[static_cast<int>(i)];
      }
      if (dim < -1) fail("shape " + text + " has a negative dimension");
      if (dim == -1 && free >= 0) fail("shape " + text + " has more than one -1");
      if (dim == -1) free = static_cast<int>(i);
      if (dim > 0 && known > kMaxElements / dim)
        fail("shape " + text + " has more than 2^40 elements");
      if (dim != -1) known *= dim;
      out.push(dim);
    }
    if (free >= 0) {
      if (known == 0 || in.elements() % known != 0)
        fail("cannot reshape " + in.str() + " to " + text);
      out[free] = in.elements() / known;
    } else if (known != in.elements()) {
      fail("cannot reshape " + in.str() + " to " + text);
    }
    return out;
  }
  bool allow_zero_;
};

class Flatten final : public View {
 public:
  explicit Flatten(int64_t axis) : axis_(axis) {}

 private:
  Shape shape(const PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int axis = axis_ == in.rank() ? in.rank() : normalize_axis(axis_, in.rank());
    return Shape{in.product(0, axis), in.product(axis, in.rank())};
  }
  int64_t axis_;
};

class Squeeze final : public View {
  Shape shape(const PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    bool drop[kMaxRank] = {};
    if (plan.has(1)) {
      for (int64_t axis : plan.integers(1, "axes")) {
        const int i = normalize_axis(axis, in.rank());
        if (in[i] != 1) fail("cannot squeeze axis " + str(axis) + " of " + in.str());
        drop[i] = true;
      }
    } else {
      for (int i = 0; i < in.rank(); ++i) drop[i] = in[i] == 1;
    }
    Shape out;
    for (int i = 0; i < in.rank(); ++i) {
      if (!drop[i]) out.push(in[i]);
    }
    return out;
  }
};

class Unsqueeze final : public View {
  Shape shape(const PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const std::vector<int64_t> axes = plan.integers(1, "axes");
    const int64_t rank = in.rank() + static_cast<int64_t>(axes.size());
    if (rank > kMaxRank)
      fail("the result would have " + str(rank) + " dimensions, at most " + str(kMaxRank) +
           " are possible");
    bool added[kMaxRank] = {};
    for (int64_t axis : axes) {
      const int i = normalize_axis(axis, rank);
      if (added[i]) fail("axis " + str(axis) + " is named twice");
      added[i] = true;
    }
    Shape out;
    int next = 0;
    for (int i = 0; i < rank; ++i) out.push(added[i] ? 1 : in[next++]);
    return out;
  }
};

class ShapeOf final : public Op {
 public:
  ShapeOf(int64_t start, int64_t end) : start_(start), end_(end) {}
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int64_t rank = in.rank();
    const auto clamp = [rank](int64_t i) {
      return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank);
    };
    std::vector<int64_t> dims;
    for (int64_t i = clamp(start_); i < clamp(end_); ++i) dims.push_back(in[static_cast<int>(i)]);
    plan.output(0, DType::s64, Shape{static_cast<int64_t>(dims.size())});
    plan.known_output(0, dims);
    return nullptr;
  }
  void run(const RunContext&) const override {}

 private:
  int64_t start_;
  int64_t end_;
};

class Size final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.output(0, DType::s64, Shape{});
    plan.known_output(0, {plan.shape(0).elements()});
    return nullptr;
  }
  void run(const RunContext&) const override {}
};

}  // namespace

OpPtr make_identity(const NodeDef&) { return std::make_unique<Identity>(); }
OpPtr make_reshape(const NodeDef& node) {
  return std::make_unique<Reshape>(node.flag("allowzero", false));
}
OpPtr make_flatten(const NodeDef& node) {
  return std::make_unique<Flatten>(node.integer("axis", 1));
}
OpPtr make_squeeze(const NodeDef&) { return std::make_unique<Squeeze>(); }
OpPtr make_unsqueeze(const NodeDef&) { return std::make_unique<Unsqueeze>(); }
OpPtr make_shape(const NodeDef& node) {
  return std::make_unique<ShapeOf>(node.integer("start", 0), node.integer("end", INT64_MAX));
}
OpPtr make_size(const NodeDef&) { return std::make_unique<Size>(); }

}  // namespace pycompress
