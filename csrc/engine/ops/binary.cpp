// Arithmetic on two or more tensors, broadcast: Add Sub Mul Div Pow Mod, and the n-ary Min Max Sum
// Mean.
#include <cmath>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Arithmetic { add, sub, mul, div, min, max, pow, mod, fmod };

// Integers wrap around; unsigned arithmetic says so without undefined behaviour.
template <typename T>
T wrapping(Arithmetic op, T a, T b) {
  using U = std::make_unsigned_t<T>;
  const U x = static_cast<U>(a);
  const U y = static_cast<U>(b);
  switch (op) {
    case Arithmetic::add:
      return static_cast<T>(static_cast<U>(x + y));
    case Arithmetic::sub:
      return static_cast<T>(static_cast<U>(x - y));
    default:
      return static_cast<T>(static_cast<U>(uint64_t{x} * uint64_t{y}));
  }
}

template <typename T>
T integer_divide(T a, T b) {
  if (b == 0) fail("integer division by zero");
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return wrapping<T>(Arithmetic::sub, 0, a);
  return static_cast<T>(a / b);
}

// fmod = 0: the sign of the divisor; fmod = 1: of the dividend.
template <typename T>
T integer_modulo(T a, T b, bool fmod) {
  if (b == 0) fail("integer modulo by zero");
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
  const T rest = static_cast<T>(a % b);
  return !fmod && rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
}

template <typename T>
T integer_power(T base, T exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0 to a negative integer power");
    return base == 1 ? T{1} : base == static_cast<T>(-1) ? (exponent % 2 == 0 ? T{1} : base) : T{0};
  }
  T result = 1;
  while (exponent != 0) {
    if (exponent % 2 != 0) result = wrapping<T>(Arithmetic::mul, result, base);
    base = wrapping<T>(Arithmetic::mul, base, base);
    exponent = static_cast<T>(exponent / 2);
  }
  return result;
}

template <typename T>
T nan_min(T a, T b) {
  return a != a ? a : b < a || b != b ? b : a;
}

template <typename T>
T nan_max(T a, T b) {
  return a != a ? a : b > a || b != b ? b : a;
}

template <typename T>
T divide(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return integer_divide(a, b);
  else
    return a / b;
}

template <typename T>
T power(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return integer_power(a, b);
  else
    return std::pow(a, b);
}

template <typename T>
T modulo(T a, T b, bool fmod) {
  if constexpr (std::is_integral_v<T>) {
    return integer_modulo(a, b, fmod);
  } else {
    const T rest = std::fmod(a, b);
    return !fmod && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

template <typename T>
T combine(Arithmetic op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return wrapping(op, a, b);
  } else {
    return op == Arithmetic::add ? a + b : op == Arithmetic::sub ? a - b : a * b;
  }
}

template <typename T>
void scalar_row(Arithmetic op, const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n,
                T* y) {
  const auto map = [&](auto f) { map_pairs(a, a_step, b, b_step, n, y, f); };
  switch (op) {
    case Arithmetic::add:
      return map([](T p, T q) { return combine(Arithmetic::add, p, q); });
    case Arithmetic::sub:
      return map([](T p, T q) { return combine(Arithmetic::sub, p, q); });
    case Arithmetic::mul:
      return map([](T p, T q) { return combine(Arithmetic::mul, p, q); });
    case Arithmetic::div:
      return map([](T p, T q) { return divide(p, q); });
    case Arithmetic::min:
      return map([](T p, T q) { return nan_min(p, q); });
    case Arithmetic::max:
      return map([](T p, T q) { return nan_max(p, q); });
    case Arithmetic::pow:
      return map([](T p, T q) { return power(p, q); });
    case Arithmetic::mod:
      return map([](T p, T q) { return modulo(p, q, false); });
    case Arithmetic::fmod:
      return map([](T p, T q) { return modulo(p, q, true); });
  }
}

bool has_kernel(Arithmetic op) { return op != Arithmetic::mod && op != Arithmetic::fmod; }

Binary kernel_of(Arithmetic op) {
  constexpr Binary kKernels[] = {Binary::add, Binary::sub, Binary::mul, Binary::div,
                                 Binary::min, Binary::max, Binary::pow};
  return kKernels[static_cast<int>(op)];
}

double cost_of(Arithmetic op) { return op == Arithmetic::pow ? 20.0 : has_kernel(op) ? 1.0 : 10.0; }

void combine_tensors(const RunContext& run, const StridedLoop<3>& loop, Arithmetic op,
                     const Tensor& a, const Tensor& b, const Tensor& y) {
  // One element has no step of its own.
  const int64_t a_step = loop.inner() == 1 ? 1 : loop.inner_stride(0);
  const int64_t b_step = loop.inner() == 1 ? 1 : loop.inner_stride(1);
  if (y.dtype == DType::f32 && has_kernel(op)) {
    const PointwiseKernels& pointwise = *run.set().pointwise;
    const Binary kernel = kernel_of(op);
    loop.parallel(run.pool(), cost_of(op), [&](const int64_t* at, int64_t n) {
      pointwise.binary(kernel, a.as<float>() + at[0], a_step, b.as<float>() + at[1], b_step, n,
                       y.as<float>() + at[2]);
    });
    return;
  }
  dispatch(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, bool>) {
      loop.parallel(run.pool(), cost_of(op), [&](const int64_t* at, int64_t n) {
        scalar_row(op, a.as<T>() + at[0], a_step, b.as<T>() + at[1], b_step, n, y.as<T>() + at[2]);
      });
    }
  });
}

void need_number(const PlanContext& plan, int i) {
  if (plan.dtype(i) == DType::b8) fail("input " + str(i) + " must be a number, found bool");
}

struct BinaryState final : OpState {
  explicit BinaryState(const StridedLoop<3>& loop) : loop(loop) {}
  StridedLoop<3> loop;
  bool square = false;   // Pow with the exponent 2
  bool root = false;     // and 0.5
  bool convert = false;  // Pow with an exponent of another type
};

class BinaryOp final : public Op {
 public:
  explicit BinaryOp(Arithmetic op) : op_(op) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_number(plan, 0);
    need_number(plan, 1);
    const bool same = plan.dtype(0) == plan.dtype(1);
    if (!same && op_ != Arithmetic::pow) {
      fail(std::string("inputs are ") + dtype_name(plan.dtype(0)) + " and " +
           dtype_name(plan.dtype(1)));
    }
    const Shape out = broadcast_shapes(plan.shape(0), plan.shape(1));
    plan.output(0, plan.dtype(0), out);
    if (plan.shape(0) == out) plan.in_place(0, 0);
    if (plan.shape(1) == out && same) plan.in_place(0, 1);
    auto state = std::make_unique<BinaryState>(broadcast_loop(plan.shape(0), plan.shape(1), out));
    state->convert = !same;
    if (!same)
      plan.scratch(static_cast<size_t>(plan.shape(1).elements()) * dtype_size(plan.dtype(0)));
    if (op_ == Arithmetic::pow && plan.dtype(0) == DType::f32 && plan.shape(0) == out) {
      const double exponent = known_exponent(plan.known(1));
      state->square = exponent == 2.0;
      state->root = exponent == 0.5;
    }
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<BinaryState>();
    const Tensor& a = run.input(0);
    Tensor b = run.input(1);
    const Tensor& y = run.output(0);
    if (state.square || state.root) {
      const Unary unary = state.square ? Unary::square : Unary::sqrt;
      parallel_ranges(run.pool(), y.elements(), 1.0, [&](int64_t begin, int64_t end) {
        run.set().pointwise->unary(unary, a.as<float>() + begin, end - begin, 0.0f, 0.0f,
                                   y.as<float>() + begin);
      });
      return;
    }
    if (state.convert) {
      convert(b, a.dtype, run.scratch());
      b.dtype = a.dtype;
      b.data = run.scratch();
    }
    combine_tensors(run, state.loop, op_, a, b, y);
  }

 private:
  static double known_exponent(const Tensor* tensor) {
    double value = 0.0;
    if (tensor == nullptr || tensor->elements() != 1) return value;
    dispatch(tensor->dtype,
             [&](auto zero) { value = static_cast<double>(*tensor->as<decltype(zero)>()); });
    return value;
  }

  static void convert(const Tensor& from, DType dtype, void* to) {
    const int64_t n = from.elements();
    dispatch(from.dtype, [&](auto zero) {
      using From = decltype(zero);
      dispatch(dtype, [&](auto other) {
        using To = decltype(other);
        for (int64_t i = 0; i < n; ++i)
          static_cast<To*>(to)[i] = static_cast<To>(from.as<From>()[i]);
      });
    });
  }

  Arithmetic op_;
};

struct NaryState final : OpState {
  std::vector<StridedLoop<3>> loops;  // the first two inputs, then the result with each further one
};

class Nary final : public Op {
 public:
  Nary(Arithmetic op, bool mean) : op_(op), mean_(mean) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    Shape out = plan.shape(0);
    for (int i = 0; i < plan.inputs(); ++i) {
      need_number(plan, i);
      plan.need_dtype(i, plan.dtype(0), "inputs");
      out = broadcast_shapes(out, plan.shape(i));
    }
    plan.output(0, plan.dtype(0), out);
    if (plan.inputs() == 1) {
      plan.view(0, 0);
      return nullptr;
    }
    if (mean_ && plan.dtype(0) != DType::f32 && plan.dtype(0) != DType::f64) {
      fail(std::string("inputs must be float, found ") + dtype_name(plan.dtype(0)));
    }
    if (plan.shape(0) == out) plan.in_place(0, 0);
    auto state = std::make_unique<NaryState>();
    state->loops.push_back(broadcast_loop(plan.shape(0), plan.shape(1), out));
    for (int i = 2; i < plan.inputs(); ++i)
      state->loops.push_back(broadcast_loop(out, plan.shape(i), out));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& loops = run.state<NaryState>().loops;
    const Tensor& y = run.output(0);
    combine_tensors(run, loops[0], op_, run.input(0), run.input(1), y);
    for (int i = 2; i < run.inputs(); ++i) {
      combine_tensors(run, loops[static_cast<size_t>(i) - 1], op_, y, run.input(i), y);
    }
    if (!mean_) return;
    const int count = run.inputs();
    const int64_t n = y.elements();
    if (y.dtype == DType::f32) {
      for (int64_t i = 0; i < n; ++i) y.as<float>()[i] /= static_cast<float>(count);
    } else {
      for (int64_t i = 0; i < n; ++i) y.as<double>()[i] /= count;
    }
  }

 private:
  Arithmetic op_;
  bool mean_;
};

}  // namespace

OpPtr make_add(const NodeDef&) { return std::make_unique<BinaryOp>(Arithmetic::add); }
OpPtr make_sub(const NodeDef&) { return std::make_unique<BinaryOp>(Arithmetic::sub); }
OpPtr make_mul(const NodeDef&) { return std::make_unique<BinaryOp>(Arithmetic::mul); }
OpPtr make_div(const NodeDef&) { return std::make_unique<BinaryOp>(Arithmetic::div); }
OpPtr make_pow(const NodeDef&) { return std::make_unique<BinaryOp>(Arithmetic::pow); }
OpPtr make_mod(const NodeDef& node) {
  return std::make_unique<BinaryOp>(node.flag("fmod", false) ? Arithmetic::fmod : Arithmetic::mod);
}
OpPtr make_min(const NodeDef&) { return std::make_unique<Nary>(Arithmetic::min, false); }
OpPtr make_max(const NodeDef&) { return std::make_unique<Nary>(Arithmetic::max, false); }
OpPtr make_sum(const NodeDef&) { return std::make_unique<Nary>(Arithmetic::add, false); }
OpPtr make_mean(const NodeDef&) { return std::make_unique<Nary>(Arithmetic::add, true); }

}  // namespace pycompress
