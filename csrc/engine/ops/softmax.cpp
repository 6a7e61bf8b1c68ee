// Softmax and LogSoftmax over any axis. Where the axis is not the last one, a column is copied to
// scratch and back.
#include <algorithm>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

class Softmax final : public Op {
 public:
  Softmax(int64_t axis, bool log) : axis_(axis), log_(log) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "input");
    const Shape& in = plan.shape(0);
    const int axis = normalize_axis(axis_, in.rank());
    plan.output(0, DType::f32, in);
    plan.in_place(0, 0);
    const bool last = in.product(axis + 1, in.rank()) == 1;
    if (!last || log_) plan.scratch(sizeof(float) * static_cast<size_t>(in[axis] * plan.threads()));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    const int axis = normalize_axis(axis_, x.shape.rank());
    const int64_t n = x.shape[axis];
    const int64_t inner = x.shape.product(axis + 1, x.shape.rank());
    const int64_t outer = x.shape.product(0, axis);
    if (n == 0 || inner == 0 || outer == 0) return;
    const int64_t rows = outer * inner;
    const double cost = (log_ ? 8.0 : 5.0) * static_cast<double>(n);
    if (inner == 1 && !log_) {
      parallel_ranges(run.pool(), rows, cost, [&](int64_t begin, int64_t end) {
        run.set().pointwise->softmax(x.as<float>() + begin * n, end - begin, n, n,
                                     y.as<float>() + begin * n);
      });
      return;
    }
    const int threads = run.pool() == nullptr ? 1 : run.pool()->size();
    const bool split = static_cast<double>(rows) * cost > 32768.0;
    const int64_t pieces = split ? std::min<int64_t>(threads, rows) : 1;
    auto* scratch = reinterpret_cast<float*>(run.scratch());
    parallel_for(run.pool(), pieces, [&](int64_t piece, int) {
      float* column = scratch + piece * n;
      for (int64_t r = rows * piece / pieces; r < rows * (piece + 1) / pieces; ++r) {
        const int64_t start = r / inner * n * inner + r % inner;
        const float* from = x.as<float>() + start;
        float* to = y.as<float>() + start;
        for (int64_t i = 0; i < n; ++i) column[i] = from[i * inner];
        if (log_) {
          log_softmax(*run.set().pointwise, from, inner, n, column, to);
        } else {
          run.set().pointwise->softmax(column, 1, n, n, column);
          for (int64_t i = 0; i < n; ++i) to[i * inner] = column[i];
        }
      }
    });
  }

 private:
  // x - max - log(sum(exp(x - max))); column holds x.
  static void log_softmax(const PointwiseKernels& pointwise, const float* from, int64_t step,
                          int64_t n, float* column, float* to) {
    const float top = pointwise.reduce(Reduce::max, column, n);
    pointwise.binary(Binary::sub, column, 1, &top, 0, n, column);
    pointwise.unary(Unary::exp, column, n, 0.0f, 0.0f, column);
    float sum = pointwise.reduce(Reduce::sum, column, n);
    pointwise.unary(Unary::log, &sum, 1, 0.0f, 0.0f, &sum);
    for (int64_t i = 0; i < n; ++i) to[i * step] = from[i * step] - top - sum;
  }

  int64_t axis_;
  bool log_;
};

}  // namespace

OpPtr make_softmax(const NodeDef& node) {
  return std::make_unique<Softmax>(node.integer("axis", -1), false);
}
OpPtr make_log_softmax(const NodeDef& node) {
  return std::make_unique<Softmax>(node.integer("axis", -1), true);
}

}  // namespace pycompress
