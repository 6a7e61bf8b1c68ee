// Rounding to a narrower float, the result still in float32: what a cast to it keeps.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// Halves go to even. Beyond `most`: `most` itself where the cast saturates, else infinity or, in
// formats without one, NaN. Such formats have no negative zero when `one_zero`.
class RoundTo final : public Op {
 public:
  explicit RoundTo(const NodeDef& node)
      : digits_(static_cast<int>(node.integer("digits", 0))),
        least_exponent_(static_cast<int>(node.integer("least_exponent", 0))),
        most_(node.number("most", 0.0f)),
        beyond_(node.flag("saturate", true)    ? most_
                : node.flag("infinite", false) ? std::numeric_limits<float>::infinity()
                                               : std::numeric_limits<float>::quiet_NaN()),
        one_zero_(node.flag("one_zero", false)) {
    node.ignore({"infinite"});
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "x");
    plan.output(0, DType::f32, plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const float* x = run.input(0).as<float>();
    float* y = run.output(0).as<float>();
    parallel_ranges(run.pool(), run.input(0).elements(), 16.0, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = rounded(x[i]);
    });
  }

 private:
  float rounded(float x) const {
    if (std::isnan(x)) return x;
    if (std::isinf(x)) return std::copysign(beyond_, x);
    int exponent = 0;  // x = f * 2^exponent, f in [0.5, 1)
    std::frexp(x, &exponent);
    const int step = std::max(exponent - 1, least_exponent_) - digits_;
    const double units = std::nearbyint(std::ldexp(static_cast<double>(x), -step));
    const auto y = static_cast<float>(std::ldexp(units, step));
    if (std::fabs(y) > most_) return std::copysign(beyond_, x);
    return y == 0.0f && one_zero_ ? 0.0f : y;
  }

  int digits_;          // of the mantissa, behind the point
  int least_exponent_;  // of a normal number
  float most_, beyond_;
  bool one_zero_;
};

}  // namespace

OpPtr make_round_to(const NodeDef& node) { return std::make_unique<RoundTo>(node); }

}  // namespace pycompress
