// Operators along one axis that compare or accumulate: ArgMax, ArgMin, TopK, CumSum, CumProd.
#include <algorithm>
#include <numeric>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// A tensor as [outer, dim, inner] around an axis.
struct AxisView {
  AxisView(const Shape& shape, int axis)
      : outer(shape.product(0, axis)),
        dim(shape[axis]),
        inner(shape.product(axis + 1, shape.rank())) {}
  int64_t outer, dim, inner;
};

// Whether a comes before b: larger (or smaller) first. NaN counts as the largest of all, as NumPy
// sorts it.
template <typename T>
bool before(bool largest, T a, T b) {
  const bool a_nan = a != a;
  const bool b_nan = b != b;
  if (a_nan || b_nan) return largest ? a_nan && !b_nan : !a_nan;
  return largest ? a > b : a < b;
}

class ArgOp final : public Op {
 public:
  ArgOp(int64_t axis, bool keep, bool last, bool largest)
      : axis_(axis), keep_(keep), last_(last), largest_(largest) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int axis = normalize_axis(axis_, in.rank());
    if (plan.dtype(0) == DType::b8) fail("input 0 cannot be bool");
    if (in[axis] == 0) fail("axis " + str(axis) + " of " + in.str() + " is empty");
    Shape out;
    for (int i = 0; i < in.rank(); ++i) {
      if (i != axis || keep_) out.push(i == axis ? 1 : in[i]);
    }
    plan.output(0, DType::s64, out);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const AxisView view(x.shape, normalize_axis(axis_, x.shape.rank()));
    auto* y = run.output(0).as<int64_t>();
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      for (int64_t r = 0; r < view.outer * view.inner; ++r) {
        const T* from = x.as<T>() + r / view.inner * view.dim * view.inner + r % view.inner;
        int64_t best = 0;
        for (int64_t i = 1; i < view.dim; ++i) {
          const T candidate = from[i * view.inner];
          const T champion = from[best * view.inner];
          // The first NaN is the largest and the smallest (NumPy).
          const bool better =
              champion == champion &&
              (candidate != candidate || (largest_ ? candidate > champion : candidate < champion));
          if (better || (last_ && candidate == champion)) best = i;
        }
        y[r] = best;
      }
    });
  }

 private:
  int64_t axis_;
  bool keep_;
  bool last_;
  bool largest_;
};

class TopK final : public Op {
 public:
  TopK(int64_t axis, bool largest) : axis_(axis), largest_(largest) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int axis = normalize_axis(axis_, in.rank());
    if (plan.dtype(0) == DType::b8) fail("input 0 cannot be bool");
    if (plan.outputs() != 2) fail("gives 2 outputs, asked for " + str(plan.outputs()));
    const std::vector<int64_t> k = plan.integers(1, "K");
    if (k.size() != 1 || k[0] < 0 || k[0] > in[axis])
      fail("K must be one value from 0 to " + str(in[axis]));
    Shape out = in;
    out[axis] = k[0];
    plan.output(0, plan.dtype(0), out);
    plan.output(1, DType::s64, out);
    plan.scratch(static_cast<size_t>(in[axis]) * sizeof(int64_t));
    return nullptr;
  }

  // Sorted, and among equals the lower index first (ONNX TopK-11).
  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const int axis = normalize_axis(axis_, x.shape.rank());
    const AxisView view(x.shape, axis);
    const int64_t k = run.output(0).shape[axis];
    auto* order = reinterpret_cast<int64_t*>(run.scratch());
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      for (int64_t r = 0; r < view.outer * view.inner; ++r) {
        const T* from = x.as<T>() + r / view.inner * view.dim * view.inner + r % view.inner;
        std::iota(order, order + view.dim, int64_t{0});
        std::partial_sort(order, order + k, order + view.dim, [&](int64_t p, int64_t q) {
          const T a = from[p * view.inner];
          const T b = from[q * view.inner];
          if (before(largest_, a, b)) return true;
          return !before(largest_, b, a) && p < q;
        });
        const int64_t to = r / view.inner * k * view.inner + r % view.inner;
        for (int64_t i = 0; i < k; ++i) {
          run.output(0).as<T>()[to + i * view.inner] = from[order[i] * view.inner];
          run.output(1).as<int64_t>()[to + i * view.inner] = order[i];
        }
      }
    });
  }

 private:
  int64_t axis_;
  bool largest_;
};

// Sums or products of all that came before.
class Cumulate final : public Op {
 public:
  Cumulate(bool product, bool exclusive, bool reverse)
      : product_(product), exclusive_(exclusive), reverse_(reverse) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (plan.dtype(0) == DType::b8) fail("input 0 cannot be bool");
    if (plan.shape(1).elements() != 1 ||
        (plan.dtype(1) != DType::s64 && plan.dtype(1) != DType::s32)) {
      fail("axis must be one int64 or int32");
    }
    plan.output(0, plan.dtype(0), plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& given = run.input(1);
    const int64_t wanted = given.dtype == DType::s64 ? *given.as<int64_t>() : *given.as<int32_t>();
    const AxisView view(x.shape, normalize_axis(wanted, x.shape.rank()));
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (!std::is_same_v<T, bool>) {
        for (int64_t r = 0; r < view.outer * view.inner; ++r) {
          const int64_t start = r / view.inner * view.dim * view.inner + r % view.inner;
          accumulate(x.as<T>() + start, view, run.output(0).as<T>() + start);
        }
      }
    });
  }

 private:
  template <typename T>
  void accumulate(const T* from, const AxisView& view, T* to) const {
    // Integers wrap around.
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
    Sum sum = product_ ? 1 : 0;
    for (int64_t i = 0; i < view.dim; ++i) {
      const int64_t at = (reverse_ ? view.dim - 1 - i : i) * view.inner;
      const auto value = static_cast<Sum>(from[at]);
      const auto next = static_cast<Sum>(product_ ? sum * value : sum + value);
      to[at] = static_cast<T>(exclusive_ ? sum : next);
      sum = next;
    }
  }

  bool product_;
  bool exclusive_;
  bool reverse_;
};

OpPtr make_arg(const NodeDef& node, bool largest) {
  return std::make_unique<ArgOp>(node.integer("axis", 0), node.flag("keepdims", true),
                                 node.flag("select_last_index", false), largest);
}

}  // namespace

OpPtr make_arg_max(const NodeDef& node) { return make_arg(node, true); }
OpPtr make_arg_min(const NodeDef& node) { return make_arg(node, false); }

OpPtr make_top_k(const NodeDef& node) {
  node.ignore({"sorted"});  // sorted output is also a valid unsorted one
  return std::make_unique<TopK>(node.integer("axis", -1), node.flag("largest", true));
}

OpPtr make_cum_sum(const NodeDef& node) {
  return std::make_unique<Cumulate>(false, node.flag("exclusive", false),
                                    node.flag("reverse", false));
}

OpPtr make_cum_prod(const NodeDef& node) {
  return std::make_unique<Cumulate>(true, node.flag("exclusive", false),
                                    node.flag("reverse", false));
}

}  // namespace pycompress
