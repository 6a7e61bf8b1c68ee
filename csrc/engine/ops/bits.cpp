// Bits of integers: BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift.
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Bits { both, either, one, left, right };

bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

// A negative shift, or one by the width or more, leaves what the sign extends to (ONNX BitShift);
// C++ would leave that open.
template <typename T>
T shifted(T x, T count, bool left) {
  constexpr int kWidth = 8 * static_cast<int>(sizeof(T));
  const bool negative = std::is_signed_v<T> && x < 0;
  if (count < 0 || count >= static_cast<T>(kWidth))
    return static_cast<T>(negative && !left ? -1 : 0);
  if (left) return static_cast<T>(static_cast<uint64_t>(x) << count);
  return static_cast<T>(x >> count);
}

template <typename T>
void bits_row(Bits op, const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n, T* y) {
  const auto map = [&](auto f) { map_pairs(a, a_step, b, b_step, n, y, f); };
  switch (op) {
    case Bits::both:
      return map([](T p, T q) { return static_cast<T>(p & q); });
    case Bits::either:
      return map([](T p, T q) { return static_cast<T>(p | q); });
    case Bits::one:
      return map([](T p, T q) { return static_cast<T>(p ^ q); });
    case Bits::left:
      return map([](T p, T q) { return shifted(p, q, true); });
    case Bits::right:
      return map([](T p, T q) { return shifted(p, q, false); });
  }
}

// Calls f with an integer of this type.
template <typename F>
void dispatch_integer(DType dtype, const F& f) {
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) f(zero);
  });
}

void need_integer(const PlanContext& plan, int i) {
  if (is_float(plan.dtype(i)) || plan.dtype(i) == DType::b8)
    fail("input " + str(i) + " must be an integer, found " + dtype_name(plan.dtype(i)));
}

class BitsOp final : public Op {
 public:
  explicit BitsOp(Bits op) : op_(op) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_integer(plan, 0);
    plan.need_dtype(1, plan.dtype(0), "input 1");
    const Shape out = broadcast_shapes(plan.shape(0), plan.shape(1));
    plan.output(0, plan.dtype(0), out);
    return std::make_unique<BroadcastState>(broadcast_loop(plan.shape(0), plan.shape(1), out));
  }

  void run(const RunContext& run) const override {
    const auto& loop = run.state<BroadcastState>().loop;
    dispatch_integer(run.output(0).dtype, [&](auto zero) {
      using T = decltype(zero);
      loop.parallel(run.pool(), 1.0, [&](const int64_t* at, int64_t n) {
        bits_row(op_, run.input(0).as<T>() + at[0], loop.inner_stride(0),
                 run.input(1).as<T>() + at[1], loop.inner_stride(1), n,
                 run.output(0).as<T>() + at[2]);
      });
    });
  }

 private:
  Bits op_;
};

class BitwiseNot final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_integer(plan, 0);
    plan.output(0, plan.dtype(0), plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    const auto n = static_cast<int64_t>(x.bytes());
    for (int64_t i = 0; i < n; ++i) y.as<uint8_t>()[i] = static_cast<uint8_t>(~x.as<uint8_t>()[i]);
  }
};

}  // namespace

OpPtr make_bitwise_and(const NodeDef&) { return std::make_unique<BitsOp>(Bits::both); }
OpPtr make_bitwise_or(const NodeDef&) { return std::make_unique<BitsOp>(Bits::either); }
OpPtr make_bitwise_xor(const NodeDef&) { return std::make_unique<BitsOp>(Bits::one); }
OpPtr make_bitwise_not(const NodeDef&) { return std::make_unique<BitwiseNot>(); }

OpPtr make_bit_shift(const NodeDef& node) {
  const std::string direction = node.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    fail("attribute 'direction' must be LEFT or RIGHT, found '" + direction + "'");
  return std::make_unique<BitsOp>(direction == "LEFT" ? Bits::left : Bits::right);
}

}  // namespace pycompress
