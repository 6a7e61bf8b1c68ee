// Functions of one float that models seldom have: the circular and hyperbolic ones and their
// inverses, and IsNaN and IsInf.
#include <cmath>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

using Function = double (*)(double);

// Calls f with a pointer to the input's elements; they are float32 or float64.
template <typename F>
void with_floats(const Tensor& x, const F& f) {
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) f(static_cast<const T*>(x.as<T>()));
  });
}

void need_float(const PlanContext& plan) {
  if (plan.dtype(0) != DType::f32 && plan.dtype(0) != DType::f64)
    fail(std::string("input 0 must be float32 or float64, found ") + dtype_name(plan.dtype(0)));
}

// Computed in double and rounded once: nearly always the correctly rounded float32.
class Elementary final : public Op {
 public:
  explicit Elementary(Function function) : function_(function) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_float(plan);
    plan.output(0, plan.dtype(0), plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    with_floats(run.input(0), [&](const auto* x) {
      using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
      T* y = run.output(0).as<T>();
      parallel_ranges(run.pool(), run.output(0).elements(), 40.0, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          y[i] = static_cast<T>(function_(static_cast<double>(x[i])));
      });
    });
  }

 private:
  Function function_;
};

// Which of the values that are not finite numbers are asked for.
struct Kinds {
  bool nan;
  bool negative;
  bool positive;
};

class Classify final : public Op {
 public:
  explicit Classify(Kinds kinds) : kinds_(kinds) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_float(plan);
    plan.output(0, DType::b8, plan.shape(0));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    auto* y = run.output(0).as<bool>();
    with_floats(run.input(0), [&](const auto* x) {
      parallel_ranges(run.pool(), run.output(0).elements(), 2.0, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          y[i] = (kinds_.nan && std::isnan(x[i])) ||
                 (std::isinf(x[i]) && (x[i] < 0 ? kinds_.negative : kinds_.positive));
        }
      });
    });
  }

 private:
  Kinds kinds_;
};

OpPtr elementary(Function function) { return std::make_unique<Elementary>(function); }

}  // namespace

OpPtr make_tan(const NodeDef&) { return elementary(std::tan); }
OpPtr make_asin(const NodeDef&) { return elementary(std::asin); }
OpPtr make_acos(const NodeDef&) { return elementary(std::acos); }
OpPtr make_atan(const NodeDef&) { return elementary(std::atan); }
OpPtr make_sinh(const NodeDef&) { return elementary(std::sinh); }
OpPtr make_cosh(const NodeDef&) { return elementary(std::cosh); }
OpPtr make_asinh(const NodeDef&) { return elementary(std::asinh); }
OpPtr make_acosh(const NodeDef&) { return elementary(std::acosh); }
OpPtr make_atanh(const NodeDef&) { return elementary(std::atanh); }

OpPtr make_is_nan(const NodeDef&) { return std::make_unique<Classify>(Kinds{true, false, false}); }

OpPtr make_is_inf(const NodeDef& node) {
  const bool negative = node.flag("detect_negative", true);
  const bool positive = node.flag("detect_positive", true);
  return std::make_unique<Classify>(Kinds{false, negative, positive});
}

}  // namespace pycompress
