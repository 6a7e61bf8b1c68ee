// Hardmax, LpNormalization and LRN: values set in relation to their neighbours along an axis.
#include <algorithm>
#include <cmath>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// Calls f with a value of the element type, which is float32 or float64.
template <typename F>
void with_float(DType dtype, const F& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  fail(std::string("input 0 must be float32 or float64, found ") + dtype_name(dtype));
}

// Reads rows along an axis and writes rows of the same place.
class AlongAxis : public Op {
 public:
  explicit AlongAxis(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    with_float(plan.dtype(0), [](auto) {});
    normalize_axis(axis_, plan.shape(0).rank());
    plan.output(0, plan.dtype(0), plan.shape(0));
    return nullptr;
  }

 protected:
  // body(from, to, length, step) for each row.
  template <typename Body>
  void for_rows(const RunContext& run, const Body& body) const {
    const Tensor& x = run.input(0);
    const int axis = normalize_axis(axis_, x.shape.rank());
    const int64_t length = x.shape[axis];
    const int64_t inner = x.shape.product(axis + 1, x.shape.rank());
    const int64_t rows = x.shape.product(0, axis) * inner;
    with_float(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      const double cost = 4.0 * static_cast<double>(length);
      parallel_ranges(run.pool(), rows, cost, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t at = r / inner * length * inner + r % inner;
          body(static_cast<const T*>(x.as<T>()) + at, run.output(0).as<T>() + at, length, inner);
        }
      });
    });
  }

 private:
  int64_t axis_;
};

// 1 at the first of the largest, 0 elsewhere.
class Hardmax final : public AlongAxis {
 public:
  using AlongAxis::AlongAxis;

  void run(const RunContext& run) const override {
    for_rows(run, [](const auto* from, auto* to, int64_t length, int64_t step) {
      int64_t best = 0;
      for (int64_t i = 1; i < length; ++i) {
        const auto champion = from[best * step];
        const auto candidate = from[i * step];
        if (champion == champion && (candidate != candidate || candidate > champion)) best = i;
      }
      for (int64_t i = 0; i < length; ++i) to[i * step] = 0;
      if (length > 0) to[best * step] = 1;
    });
  }
};

// A row of zeros stays one.
class LpNormalization final : public AlongAxis {
 public:
  LpNormalization(int64_t axis, int64_t p) : AlongAxis(axis), p_(p) {
    if (p != 1 && p != 2) fail("attribute 'p' must be 1 or 2, found " + str(p));
  }

  void run(const RunContext& run) const override {
    for_rows(run, [&](const auto* from, auto* to, int64_t length, int64_t step) {
      double sum = 0.0;
      for (int64_t i = 0; i < length; ++i) {
        const auto x = static_cast<double>(from[i * step]);
        sum += p_ == 1 ? std::fabs(x) : x * x;
      }
      const double norm = p_ == 1 ? sum : std::sqrt(sum);
      using T = std::remove_reference_t<decltype(*to)>;
      for (int64_t i = 0; i < length; ++i)
        to[i * step] = norm == 0.0 ? T{0} : static_cast<T>(from[i * step] / norm);
    });
  }

 private:
  int64_t p_;
};

class Lrn final : public AlongAxis {
 public:
  explicit Lrn(const NodeDef& node)
      : AlongAxis(1),
        size_(node.integer("size", 0)),
        alpha_(static_cast<double>(node.number("alpha", 1e-4f))),
        beta_(static_cast<double>(node.number("beta", 0.75f))),
        bias_(static_cast<double>(node.number("bias", 1.0f))) {
    if (size_ < 1) fail("attribute 'size' must be at least 1, found " + str(size_));
  }

  // The window of an even size reaches one further to the end.
  void run(const RunContext& run) const override {
    for_rows(run, [&](const auto* from, auto* to, int64_t length, int64_t step) {
      using T = std::remove_reference_t<decltype(*to)>;
      for (int64_t i = 0; i < length; ++i) {
        const int64_t first = std::max<int64_t>(0, i - (size_ - 1) / 2);
        const int64_t last = std::min(length - 1, i + size_ / 2);
        double sum = 0.0;
        for (int64_t k = first; k <= last; ++k) {
          const auto x = static_cast<double>(from[k * step]);
          sum += x * x;
        }
        const double scale = std::pow(bias_ + alpha_ / static_cast<double>(size_) * sum, beta_);
        to[i * step] = static_cast<T>(from[i * step] / scale);
      }
    });
  }

 private:
  int64_t size_;
  double alpha_, beta_, bias_;
};

}  // namespace

OpPtr make_hardmax(const NodeDef& node) {
  return std::make_unique<Hardmax>(node.integer("axis", -1));
}

OpPtr make_lp_normalization(const NodeDef& node) {
  return std::make_unique<LpNormalization>(node.integer("axis", -1), node.integer("p", 2));
}

OpPtr make_lrn(const NodeDef& node) { return std::make_unique<Lrn>(node); }

}  // namespace pycompress
