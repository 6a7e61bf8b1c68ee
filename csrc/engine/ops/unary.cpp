// Functions of one element: the float kernels, their integer and double forms, Clip, PRelu and
// Cast.
#include <cmath>
#include <limits>
#include <type_traits>

#include "engine/activation_names.h"
#include "engine/elementwise.h"
#include "engine/fused.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

double unary_cost(Unary op) {
  switch (op) {
    case Unary::sigmoid:
    case Unary::silu:
    case Unary::tanh:
    case Unary::gelu:
    case Unary::gelu_tanh:
    case Unary::erf:
    case Unary::exp:
    case Unary::log:
    case Unary::softplus:
    case Unary::elu:
    case Unary::sin:
    case Unary::cos:
      return 4.0;
    default:
      return 1.0;
  }
}

void run_unary(const RunContext& run, const Tensor& x, const Tensor& y, Unary op, float alpha,
               float beta) {
  parallel_ranges(run.pool(), y.elements(), unary_cost(op), [&](int64_t begin, int64_t end) {
    run.set().pointwise->unary(op, x.as<float>() + begin, end - begin, alpha, beta,
                               y.as<float>() + begin);
  });
}

// What makes sense beyond float32: signs for integers, the elementary functions for double.
bool is_exact(Unary op) {
  return op == Unary::abs || op == Unary::neg || op == Unary::sign || op == Unary::relu ||
         op == Unary::identity;
}

template <typename T>
T exact_unary(Unary op, T x) {
  using U = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::common_type<T>>;
  using Wide = typename U::type;
  const T negative = static_cast<T>(Wide{0} - static_cast<Wide>(x));
  switch (op) {
    case Unary::abs:
      return x < 0 ? negative : x;
    case Unary::neg:
      return negative;
    case Unary::sign:
      return static_cast<T>((x > 0) - (x < 0));
    case Unary::relu:
      return x < 0 ? T{0} : x;
    default:
      return x;
  }
}

double double_unary(Unary op, double x, double alpha, double beta) {
  switch (op) {
    case Unary::abs:
      return std::fabs(x);
    case Unary::neg:
      return -x;
    case Unary::sign:
      return x > 0 ? 1.0 : x < 0 ? -1.0 : x;
    case Unary::relu:
      return x < 0 ? 0.0 : x;
    case Unary::leaky_relu:
      return x < 0 ? alpha * x : x;
    case Unary::clip:
      return x < alpha ? alpha : x > beta ? beta : x;
    case Unary::sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Unary::tanh:
      return std::tanh(x);
    case Unary::erf:
      return std::erf(x);
    case Unary::exp:
      return std::exp(x);
    case Unary::log:
      return std::log(x);
    case Unary::sqrt:
      return std::sqrt(x);
    case Unary::reciprocal:
      return 1.0 / x;
    case Unary::square:
      return x * x;
    case Unary::floor:
      return std::floor(x);
    case Unary::ceil:
      return std::ceil(x);
    case Unary::round:
      return std::nearbyint(x);
    case Unary::softplus:
      return std::log1p(std::exp(-std::fabs(x))) + (x > 0 ? x : 0.0);
    case Unary::sin:
      return std::sin(x);
    case Unary::cos:
      return std::cos(x);
    default:
      return x;
  }
}

bool has_double(Unary op) {
  switch (op) {
    case Unary::hard_sigmoid:
    case Unary::hard_swish:
    case Unary::silu:
    case Unary::gelu:
    case Unary::gelu_tanh:
    case Unary::elu:
      return false;
    default:
      return true;
  }
}

class UnaryOp final : public Op {
 public:
  UnaryOp(Unary op, float alpha, float beta) : op_(op), alpha_(alpha), beta_(beta) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const DType dtype = plan.dtype(0);
    const bool fits = dtype == DType::f32 || (dtype == DType::f64 && has_double(op_)) ||
                      (is_exact(op_) && dtype != DType::b8 && dtype != DType::f64);
    if (!fits) fail(std::string("input 0 cannot be ") + dtype_name(dtype));
    plan.output(0, dtype, plan.shape(0));
    if (op_ == Unary::identity) {
      plan.view(0, 0);
    } else {
      plan.in_place(0, 0);
    }
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (x.dtype == DType::f32) return run_unary(run, x, y, op_, alpha_, beta_);
    const int64_t n = x.elements();
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<T, double>) {
          y.as<T>()[i] = double_unary(op_, x.as<T>()[i], static_cast<double>(alpha_),
                                      static_cast<double>(beta_));
        } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          y.as<T>()[i] = exact_unary(op_, x.as<T>()[i]);
        }
      }
    });
  }

 private:
  Unary op_;
  float alpha_;
  float beta_;
};

// min and max are inputs, known or not.
class Clip final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (plan.dtype(0) == DType::b8) fail("input 0 cannot be bool");
    for (int i = 1; i < 3; ++i) {
      if (!plan.has(i)) continue;
      plan.need_dtype(i, plan.dtype(0), i == 1 ? "min" : "max");
      if (plan.shape(i).elements() != 1)
        fail(std::string("input ") + str(i) + " must be a scalar, found shape " +
             plan.shape(i).str());
    }
    plan.output(0, plan.dtype(0), plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      const T lowest = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                   : std::numeric_limits<T>::lowest();
      const T highest = std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                                    : std::numeric_limits<T>::max();
      const T lo = run.has(1) ? *run.input(1).as<T>() : lowest;
      const T hi = run.has(2) ? *run.input(2).as<T>() : highest;
      if constexpr (std::is_same_v<T, float>) {
        run_unary(run, x, y, Unary::clip, lo, hi);
      } else {
        const int64_t n = x.elements();
        // min is applied first, max has the last word (ONNX Clip-13).
        for (int64_t i = 0; i < n; ++i) {
          const T v = x.as<T>()[i];
          const T raised = v < lo ? lo : v;
          y.as<T>()[i] = raised > hi ? hi : raised;
        }
      }
    });
  }
};

class PRelu final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    plan.need_dtype(1, DType::f32, "slope");
    if (broadcast_shapes(plan.shape(0), plan.shape(1)) != plan.shape(0)) {
      fail("slope of shape " + plan.shape(1).str() + " does not broadcast to " +
           plan.shape(0).str());
    }
    plan.output(0, DType::f32, plan.shape(0));
    plan.in_place(0, 0);
    return std::make_unique<BroadcastState>(
        broadcast_loop(plan.shape(0), plan.shape(1), plan.shape(0)));
  }
  void run(const RunContext& run) const override {
    const auto& loop = run.state<BroadcastState>().loop;
    loop.parallel(run.pool(), 1.0, [&](const int64_t* at, int64_t n) {
      map_pairs(run.input(0).as<float>() + at[0], int64_t{1}, run.input(1).as<float>() + at[1],
                loop.inner_stride(1), n, run.output(0).as<float>() + at[2],
                [](float x, float slope) { return x < 0 ? x * slope : x; });
    });
  }
};

// ONNX leaves out-of-range conversions open: floats saturate, NaN gives 0; integers wrap.
template <typename To, typename From>
To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (x != x) return To{0};
    // 2^k is exact in both float types, the largest integer may not be.
    const From limit = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    if (x >= limit) return std::numeric_limits<To>::max();
    if (x <= static_cast<From>(std::numeric_limits<To>::min()))
      return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

class Cast final : public Op {
 public:
  explicit Cast(DType to) : to_(to) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.output(0, to_, plan.shape(0));
    if (plan.dtype(0) == to_) {
      plan.view(0, 0);
    } else if (dtype_size(plan.dtype(0)) == dtype_size(to_)) {
      plan.in_place(0, 0);
    }
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    dispatch(x.dtype, [&](auto from) {
      dispatch(y.dtype, [&](auto to) {
        const auto* src = x.as<decltype(from)>();
        auto* dst = y.as<decltype(to)>();
        parallel_ranges(run.pool(), y.elements(), 2.0, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) dst[i] = convert<decltype(to)>(src[i]);
        });
      });
    });
  }

 private:
  DType to_;
};

template <Unary op>
OpPtr make_plain(const NodeDef&) {
  return std::make_unique<UnaryOp>(op, 0.0f, 0.0f);
}

OpPtr make_with_parameters(const NodeDef& node, Unary op) {
  const UnaryDefaults defaults = unary_defaults(op);
  return std::make_unique<UnaryOp>(op, node.number("alpha", defaults.alpha),
                                   node.number("beta", defaults.beta));
}

}  // namespace

OpPtr make_abs(const NodeDef& node) { return make_plain<Unary::abs>(node); }
OpPtr make_neg(const NodeDef& node) { return make_plain<Unary::neg>(node); }
OpPtr make_relu(const NodeDef& node) { return make_plain<Unary::relu>(node); }
OpPtr make_sigmoid(const NodeDef& node) { return make_plain<Unary::sigmoid>(node); }
OpPtr make_hard_swish(const NodeDef& node) { return make_plain<Unary::hard_swish>(node); }
OpPtr make_silu(const NodeDef& node) { return make_plain<Unary::silu>(node); }
OpPtr make_tanh(const NodeDef& node) { return make_plain<Unary::tanh>(node); }
OpPtr make_erf(const NodeDef& node) { return make_plain<Unary::erf>(node); }
OpPtr make_exp(const NodeDef& node) { return make_plain<Unary::exp>(node); }
OpPtr make_log(const NodeDef& node) { return make_plain<Unary::log>(node); }
OpPtr make_sqrt(const NodeDef& node) { return make_plain<Unary::sqrt>(node); }
OpPtr make_reciprocal(const NodeDef& node) { return make_plain<Unary::reciprocal>(node); }
OpPtr make_floor(const NodeDef& node) { return make_plain<Unary::floor>(node); }
OpPtr make_ceil(const NodeDef& node) { return make_plain<Unary::ceil>(node); }
OpPtr make_round(const NodeDef& node) { return make_plain<Unary::round>(node); }
OpPtr make_sign(const NodeDef& node) { return make_plain<Unary::sign>(node); }
OpPtr make_softplus(const NodeDef& node) { return make_plain<Unary::softplus>(node); }
OpPtr make_sin(const NodeDef& node) { return make_plain<Unary::sin>(node); }
OpPtr make_cos(const NodeDef& node) { return make_plain<Unary::cos>(node); }
OpPtr make_leaky_relu(const NodeDef& node) { return make_with_parameters(node, Unary::leaky_relu); }
OpPtr make_elu(const NodeDef& node) { return make_with_parameters(node, Unary::elu); }
OpPtr make_hard_sigmoid(const NodeDef& node) {
  return make_with_parameters(node, Unary::hard_sigmoid);
}

OpPtr make_gelu(const NodeDef& node) {
  const std::string form = node.text("approximate", "none");
  if (form != "none" && form != "tanh")
    fail("attribute 'approximate' must be none or tanh, found '" + form + "'");
  return std::make_unique<UnaryOp>(form == "none" ? Unary::gelu : Unary::gelu_tanh, 0.0f, 0.0f);
}

OpPtr make_activation(const NodeDef& node) {
  const Activation activation = read_activation(node);
  return std::make_unique<UnaryOp>(activation.op, activation.alpha, activation.beta);
}

OpPtr make_clip(const NodeDef&) { return std::make_unique<Clip>(); }
OpPtr make_prelu(const NodeDef&) { return std::make_unique<PRelu>(); }

OpPtr make_cast(const NodeDef& node) {
  node.ignore({"saturate", "round_mode"});  // only for 8-bit floats
  if (!node.has_attr("to")) fail("attribute 'to' is required");
  return std::make_unique<Cast>(dtype_of_onnx(node.integer("to", 0)));
}

}  // namespace pycompress
