// Reductions over any axes: ReduceSum Mean Max Min Prod L1 L2 SumSquare LogSum LogSumExp.
//
// The input is walked row by row. A row that is reduced away becomes one number; a row that stays
// is added to a row of the result. Neighbouring axes with the same fate are one axis, so the common
// cases are one kernel call per row.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Reduction { sum, mean, max, min, prod, l1, l2, sum_square, log_sum, log_sum_exp };

struct ReduceState final : OpState {
  explicit ReduceState(const StridedLoop<2>& loop) : loop(loop) {}
  StridedLoop<2> loop;  // x, y (stride 0 where reduced)
  int64_t count = 1;    // elements that go into one result
  int64_t split =
      1;  // leading rows of the loop that lead to different results: threads take ranges of them
  bool row_reduced = true;
};

bool has_kernel(Reduction op) { return op != Reduction::prod && op != Reduction::log_sum_exp; }

Reduce kernel_of(Reduction op) {
  switch (op) {
    case Reduction::max:
      return Reduce::max;
    case Reduction::min:
      return Reduce::min;
    case Reduction::l1:
      return Reduce::sum_abs;
    case Reduction::l2:
    case Reduction::sum_square:
      return Reduce::sum_square;
    default:
      return Reduce::sum;
  }
}

template <typename T>
T identity_of(Reduction op) {
  using Limits = std::numeric_limits<T>;
  constexpr bool infinite = Limits::has_infinity;
  switch (op) {
    case Reduction::max:
      return infinite ? -Limits::infinity() : Limits::lowest();
    case Reduction::min:
      return infinite ? Limits::infinity() : Limits::max();
    case Reduction::prod:
      return 1;
    default:
      return 0;
  }
}

// Integers wrap around.
template <typename T>
T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}

template <typename T>
T times(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}

template <typename T>
T join(Reduction op, T acc, T x) {
  switch (op) {
    case Reduction::max:
      return acc != acc || acc > x ? acc : x;
    case Reduction::min:
      return acc != acc || acc < x ? acc : x;
    case Reduction::prod:
      return times(acc, x);
    case Reduction::l1:
      return plus(acc, x < 0 ? times(x, static_cast<T>(-1)) : x);
    case Reduction::l2:
    case Reduction::sum_square:
      return plus(acc, times(x, x));
    default:
      return plus(acc, x);
  }
}

class ReduceOp final : public Op {
 public:
  ReduceOp(Reduction op, bool keep, bool no_axes_is_none)
      : op_(op), keep_(keep), no_axes_is_none_(no_axes_is_none) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    check_type(plan.dtype(0));
    std::vector<int64_t> axes;
    if (plan.has(1)) axes = plan.integers(1, "axes");
    bool reduced[kMaxRank] = {};
    for (int64_t axis : axes) reduced[normalize_axis(axis, in.rank())] = true;
    if (axes.empty() && !no_axes_is_none_) {
      for (int i = 0; i < in.rank(); ++i) reduced[i] = true;
    }
    Shape out;
    Shape kept = in;
    int64_t count = 1;
    for (int i = 0; i < in.rank(); ++i) {
      if (reduced[i]) {
        count *= in[i];
        kept[i] = 1;
      }
      if (!reduced[i] || keep_) out.push(reduced[i] ? 1 : in[i]);
    }
    plan.output(0, plan.dtype(0), out);
    int64_t x_strides[kMaxRank];
    int64_t y_strides[kMaxRank];
    row_major_strides(in, x_strides);
    broadcast_strides(kept, in, y_strides);
    auto state = std::make_unique<ReduceState>(StridedLoop<2>(in, {x_strides, y_strides}));
    const StridedLoop<2>& loop = state->loop;
    state->count = count;
    state->row_reduced = loop.inner_stride(1) == 0;
    // The first axis is the longest of all kept ones in front of the rows.
    if (loop.rank() > 1 && loop.stride(1, 0) != 0) state->split = loop.dim(0);
    return state;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (x.dtype == DType::f32 && has_kernel(op_)) return run_kernel(run, x, y);
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (!std::is_same_v<T, bool>) run_scalar<T>(run, x, y);
    });
  }

 private:
  void check_type(DType dtype) const {
    const bool real = dtype == DType::f32 || dtype == DType::f64;
    const bool needs_real =
        op_ == Reduction::l2 || op_ == Reduction::log_sum || op_ == Reduction::log_sum_exp;
    if (dtype == DType::b8 || (needs_real && !real))
      fail(std::string("input 0 cannot be ") + dtype_name(dtype));
  }

  // Ranges of rows whose results do not overlap.
  template <typename Body>
  static void split_rows(const RunContext& run, const Body& body) {
    const auto& state = run.state<ReduceState>();
    const int64_t rows = state.loop.rows();
    if (rows == 0 || state.loop.inner() == 0) return;
    const int64_t per = rows / state.split;
    const double cost = static_cast<double>(per) * static_cast<double>(state.loop.inner());
    parallel_ranges(run.pool(), state.split, cost,
                    [&](int64_t begin, int64_t end) { body(begin * per, end * per); });
  }

  void run_kernel(const RunContext& run, const Tensor& x, const Tensor& y) const {
    const auto& state = run.state<ReduceState>();
    const PointwiseKernels& pointwise = *run.set().pointwise;
    const Reduce kernel = kernel_of(op_);
    // A row's sum of squares is added as it is.
    const Reduction joined = op_ == Reduction::max || op_ == Reduction::min ? op_ : Reduction::sum;
    auto* out = y.as<float>();
    std::fill(out, out + y.elements(), identity_of<float>(op_));
    constexpr int64_t kShort = 8;  // not worth a kernel's call
    const int64_t n = state.loop.inner();
    split_rows(run, [&](int64_t begin, int64_t end) {
      state.loop.for_rows(begin, end, [&](const int64_t* at) {
        const float* row = x.as<float>() + at[0];
        float* acc = out + at[1];
        if (state.row_reduced && n < kShort) {
          for (int64_t i = 0; i < n; ++i) *acc = join(op_, *acc, row[i]);
        } else if (state.row_reduced) {
          *acc = join(joined, *acc, pointwise.reduce(kernel, row, n));
        } else {
          pointwise.reduce_rows(kernel, row, n, acc);
        }
      });
    });
    finish(out, y.elements(), static_cast<float>(state.count));
  }

  template <typename T>
  void run_scalar(const RunContext& run, const Tensor& x, const Tensor& y) const {
    const auto& state = run.state<ReduceState>();
    auto* out = y.as<T>();
    const bool shifted = op_ == Reduction::log_sum_exp;
    const Reduction first = shifted ? Reduction::max : op_;
    std::fill(out, out + y.elements(), identity_of<T>(first));
    const int64_t n = state.loop.inner();
    const int64_t step = state.loop.inner_stride(1);
    split_rows(run, [&](int64_t begin, int64_t end) {
      state.loop.for_rows(begin, end, [&](const int64_t* at) {
        const T* row = x.as<T>() + at[0];
        T* acc = out + at[1];
        for (int64_t i = 0; i < n; ++i) acc[i * step] = join(first, acc[i * step], row[i]);
      });
    });
    if constexpr (std::is_floating_point_v<T>) {
      if (shifted) add_exponentials(run, x, out, y.elements());
    }
    finish(out, y.elements(), static_cast<T>(state.count));
  }

  // out holds the maxima: out = max + log(sum(exp(x - max))).
  template <typename T>
  static void add_exponentials(const RunContext& run, const Tensor& x, T* out, int64_t results) {
    const auto& state = run.state<ReduceState>();
    std::vector<T> sums(static_cast<size_t>(results), T{0});
    const int64_t step = state.loop.inner_stride(1);
    for (int64_t i = 0; i < results; ++i) out[i] = std::isinf(out[i]) ? T{0} : out[i];
    if (state.loop.inner() == 0) return;
    state.loop.for_rows(0, state.loop.rows(), [&](const int64_t* at) {
      const T* row = x.as<T>() + at[0];
      for (int64_t i = 0; i < state.loop.inner(); ++i) {
        const int64_t o = at[1] + i * step;
        sums[static_cast<size_t>(o)] += std::exp(row[i] - out[o]);
      }
    });
    for (int64_t i = 0; i < results; ++i) out[i] += std::log(sums[static_cast<size_t>(i)]);
  }

  template <typename T>
  void finish(T* out, int64_t n, T count) const {
    if (op_ == Reduction::mean) {
      if (std::is_integral_v<T> && count == 0) fail("the mean of no integers");
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(out[i] / count);
    } else if constexpr (std::is_floating_point_v<T>) {
      if (op_ == Reduction::l2) {
        for (int64_t i = 0; i < n; ++i) out[i] = std::sqrt(out[i]);
      } else if (op_ == Reduction::log_sum) {
        for (int64_t i = 0; i < n; ++i) out[i] = std::log(out[i]);
      }
    }
  }

  Reduction op_;
  bool keep_;
  bool no_axes_is_none_;
};

OpPtr make(const NodeDef& node, Reduction op) {
  return std::make_unique<ReduceOp>(op, node.flag("keepdims", true),
                                    node.flag("noop_with_empty_axes", false));
}

}  // namespace

OpPtr make_reduce_sum(const NodeDef& node) { return make(node, Reduction::sum); }
OpPtr make_reduce_mean(const NodeDef& node) { return make(node, Reduction::mean); }
OpPtr make_reduce_max(const NodeDef& node) { return make(node, Reduction::max); }
OpPtr make_reduce_min(const NodeDef& node) { return make(node, Reduction::min); }
OpPtr make_reduce_prod(const NodeDef& node) { return make(node, Reduction::prod); }
OpPtr make_reduce_l1(const NodeDef& node) { return make(node, Reduction::l1); }
OpPtr make_reduce_l2(const NodeDef& node) { return make(node, Reduction::l2); }
OpPtr make_reduce_sum_square(const NodeDef& node) { return make(node, Reduction::sum_square); }
OpPtr make_reduce_log_sum(const NodeDef& node) { return make(node, Reduction::log_sum); }
OpPtr make_reduce_log_sum_exp(const NodeDef& node) { return make(node, Reduction::log_sum_exp); }

}  // namespace pycompress
