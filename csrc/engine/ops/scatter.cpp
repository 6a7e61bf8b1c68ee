// ScatterND and OneHot: values written where indices say.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Combine { replace, add, mul, min, max };

class ScatterND final : public Op {
 public:
  explicit ScatterND(Combine combine) : combine_(combine) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(1, DType::s64, "indices");
    plan.need_dtype(2, plan.dtype(0), "updates");
    if (combine_ != Combine::replace && plan.dtype(0) == DType::b8) fail("a reduction of bool");
    const Shape& data = plan.shape(0);
    const Shape& indices = plan.shape(1);
    const int last = indices.rank() - 1;
    if (last < 0 || indices[last] < 1 || indices[last] > data.rank()) {
      fail("indices of shape " + indices.str() + " do not fit data of shape " + data.str());
    }
    Shape wanted(indices.begin(), last);
    for (int i = static_cast<int>(indices[last]); i < data.rank(); ++i) wanted.push(data[i]);
    if (plan.shape(2) != wanted)
      fail("updates have shape " + plan.shape(2).str() + ", wanted " + wanted.str());
    plan.output(0, plan.dtype(0), data);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& data = run.input(0);
    const Tensor& indices = run.input(1);
    const Tensor& y = run.output(0);
    if (y.elements() == 0 && indices.elements() == 0) return;
    if (y.data != data.data && y.elements() > 0) std::memcpy(y.data, data.data, y.bytes());
    const int last = indices.shape.rank() - 1;
    const auto depth = static_cast<int>(indices.shape[last]);
    const int64_t block = data.shape.product(depth, data.shape.rank());
    int64_t strides[kMaxRank];
    row_major_strides(data.shape, strides);
    for (int64_t t = 0; t < indices.shape.product(0, last); ++t) {
      int64_t at = 0;
      for (int i = 0; i < depth; ++i) {
        const int64_t index = indices.as<int64_t>()[t * depth + i];
        const int64_t dim = data.shape[i];
        if (index < -dim || index >= dim)
          fail("index " + str(index) + " is out of range for an axis of " + str(dim));
        at += (index < 0 ? index + dim : index) * strides[i];
      }
      dispatch(y.dtype, [&](auto zero) {
        using T = decltype(zero);
        merge(run.input(2).as<T>() + t * block, block, y.as<T>() + at);
      });
    }
  }

 private:
  template <typename T>
  void merge(const T* from, int64_t n, T* to) const {
    if (combine_ == Combine::replace) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
      return;
    }
    if constexpr (!std::is_same_v<T, bool>) {
      for (int64_t i = 0; i < n; ++i) {
        if (combine_ == Combine::min)
          to[i] = std::min(to[i], from[i]);
        else if (combine_ == Combine::max)
          to[i] = std::max(to[i], from[i]);
        else
          to[i] = arithmetic(to[i], from[i]);
      }
    }
  }

  // Integers wrap around.
  template <typename T>
  T arithmetic(T a, T b) const {
    using U = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
    const U p = static_cast<U>(a);
    const U q = static_cast<U>(b);
    return static_cast<T>(combine_ == Combine::add ? static_cast<U>(p + q) : static_cast<U>(p * q));
  }

  Combine combine_;
};

// Inputs indices, depth, values [off, on].
class OneHot final : public Op {
 public:
  explicit OneHot(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    if (plan.dtype(0) == DType::b8 || plan.dtype(0) == DType::f64)
      fail(std::string("indices cannot be ") + dtype_name(plan.dtype(0)));
    const std::vector<int64_t> depth = plan.integers(1, "depth");
    if (depth.size() != 1 || depth[0] < 0) fail("depth must be one value that is not negative");
    if (plan.shape(2).elements() != 2)
      fail("values must be two, found shape " + plan.shape(2).str());
    const int axis = normalize_axis(axis_, in.rank() + 1);
    Shape out;
    for (int i = 0; i <= in.rank(); ++i) out.push(i == axis ? depth[0] : in[i < axis ? i : i - 1]);
    plan.output(0, plan.dtype(2), out);
    return nullptr;
  }

  // An index out of range leaves its row off (ONNX OneHot-11).
  void run(const RunContext& run) const override {
    const Tensor& indices = run.input(0);
    const Tensor& values = run.input(2);
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    const size_t size = dtype_size(y.dtype);
    copy_elements(values.data, 0, y.elements(), size, y.data);
    const int axis = normalize_axis(axis_, y.shape.rank());
    const int64_t depth = y.shape[axis];
    const int64_t inner = y.shape.product(axis + 1, y.shape.rank());
    dispatch(indices.dtype, [&](auto zero) {
      for (int64_t i = 0; i < indices.elements(); ++i) {
        auto index = static_cast<int64_t>(indices.as<decltype(zero)>()[i]);
        if (index < -depth || index >= depth) continue;
        index = index < 0 ? index + depth : index;
        const int64_t at = (i / inner * depth + index) * inner + i % inner;
        std::memcpy(y.as<uint8_t>() + at * static_cast<int64_t>(size), values.as<uint8_t>() + size,
                    size);
      }
    });
  }

 private:
  int64_t axis_;
};

}  // namespace

OpPtr make_scatter_nd(const NodeDef& node) {
  const std::string reduction = node.text("reduction", "none");
  constexpr const char* kNames[] = {"none", "add", "mul", "min", "max"};
  for (int i = 0; i < 5; ++i) {
    if (reduction == kNames[i]) return std::make_unique<ScatterND>(static_cast<Combine>(i));
  }
  fail("attribute 'reduction' must be none, add, mul, min or max, found '" + reduction + "'");
}

OpPtr make_one_hot(const NodeDef& node) {
  return std::make_unique<OneHot>(node.integer("axis", -1));
}

}  // namespace pycompress
