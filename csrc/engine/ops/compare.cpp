// Comparisons and logic: Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not, and Where.
#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Relation { equal, less, less_equal, greater, greater_equal };
enum class Logic { both, either, one };

template <typename T>
void compare_row(Relation op, const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n,
                 bool* y) {
  switch (op) {
    case Relation::equal:
      return map_pairs(a, a_step, b, b_step, n, y, [](T p, T q) { return p == q; });
    case Relation::less:
      return map_pairs(a, a_step, b, b_step, n, y, [](T p, T q) { return p < q; });
    case Relation::less_equal:
      return map_pairs(a, a_step, b, b_step, n, y, [](T p, T q) { return p <= q; });
    case Relation::greater:
      return map_pairs(a, a_step, b, b_step, n, y, [](T p, T q) { return p > q; });
    case Relation::greater_equal:
      return map_pairs(a, a_step, b, b_step, n, y, [](T p, T q) { return p >= q; });
  }
}

void logic_row(Logic op, const uint8_t* a, int64_t a_step, const uint8_t* b, int64_t b_step,
               int64_t n, uint8_t* y) {
  switch (op) {
    case Logic::both:
      return map_pairs(a, a_step, b, b_step, n, y,
                       [](uint8_t p, uint8_t q) -> uint8_t { return p & q; });
    case Logic::either:
      return map_pairs(a, a_step, b, b_step, n, y,
                       [](uint8_t p, uint8_t q) -> uint8_t { return p | q; });
    case Logic::one:
      return map_pairs(a, a_step, b, b_step, n, y,
                       [](uint8_t p, uint8_t q) -> uint8_t { return p ^ q; });
  }
}

std::unique_ptr<OpState> plan_bool(PlanContext& plan) {
  plan.need_dtype(1, plan.dtype(0), "B");
  const Shape out = broadcast_shapes(plan.shape(0), plan.shape(1));
  plan.output(0, DType::b8, out);
  return std::make_unique<BroadcastState>(broadcast_loop(plan.shape(0), plan.shape(1), out));
}

class Comparison final : public Op {
 public:
  explicit Comparison(Relation op) : op_(op) {}
  std::unique_ptr<OpState> plan(PlanContext& plan) const override { return plan_bool(plan); }
  void run(const RunContext& run) const override {
    const auto& loop = run.state<BroadcastState>().loop;
    const int64_t a_step = loop.inner_stride(0);
    const int64_t b_step = loop.inner_stride(1);
    dispatch(run.input(0).dtype, [&](auto zero) {
      using T = decltype(zero);
      loop.parallel(run.pool(), 1.0, [&](const int64_t* at, int64_t n) {
        compare_row(op_, run.input(0).as<T>() + at[0], a_step, run.input(1).as<T>() + at[1], b_step,
                    n, run.output(0).as<bool>() + at[2]);
      });
    });
  }

 private:
  Relation op_;
};

class LogicOp final : public Op {
 public:
  explicit LogicOp(Logic op) : op_(op) {}
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::b8, "A");
    return plan_bool(plan);
  }
  void run(const RunContext& run) const override {
    const auto& loop = run.state<BroadcastState>().loop;
    loop.parallel(run.pool(), 0.5, [&](const int64_t* at, int64_t n) {
      logic_row(op_, run.input(0).as<uint8_t>() + at[0], loop.inner_stride(0),
                run.input(1).as<uint8_t>() + at[1], loop.inner_stride(1), n,
                run.output(0).as<uint8_t>() + at[2]);
    });
  }

 private:
  Logic op_;
};

class Not final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::b8, "X");
    plan.output(0, DType::b8, plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }
  void run(const RunContext& run) const override {
    const auto* x = run.input(0).as<uint8_t>();
    auto* y = run.output(0).as<uint8_t>();
    const int64_t n = run.output(0).elements();
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] ^ 1;
  }
};

struct WhereState final : OpState {
  explicit WhereState(const StridedLoop<4>& loop) : loop(loop) {}
  StridedLoop<4> loop;  // condition, x, y, result
};

class Where final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::b8, "condition");
    plan.need_dtype(2, plan.dtype(1), "Y");
    const Shape out =
        broadcast_shapes(broadcast_shapes(plan.shape(0), plan.shape(1)), plan.shape(2));
    plan.output(0, plan.dtype(1), out);
    int64_t strides[4][kMaxRank];
    for (int i = 0; i < 3; ++i) broadcast_strides(plan.shape(i), out, strides[i]);
    row_major_strides(out, strides[3]);
    return std::make_unique<WhereState>(
        StridedLoop<4>(out, {strides[0], strides[1], strides[2], strides[3]}));
  }

  void run(const RunContext& run) const override {
    switch (dtype_size(run.output(0).dtype)) {
      case 1:
        return choose<uint8_t>(run);
      case 2:
        return choose<uint16_t>(run);
      case 4:
        return choose<uint32_t>(run);
      default:
        return choose<uint64_t>(run);
    }
  }

 private:
  // Without branches: a condition is 0 or 1, its negation a mask of all bits.
  template <typename T>
  static void choose_row(const uint8_t* c, int64_t c_step, const T* x, int64_t x_step, const T* y,
                         int64_t y_step, int64_t n, T* out) {
    const auto pick = [](uint8_t chosen, T p, T q) {
      const auto mask = static_cast<T>(T{0} - static_cast<T>(chosen));
      return static_cast<T>((p & mask) | (q & static_cast<T>(~mask)));
    };
    if (c_step == 0) {
      if (*c != 0) return copy_elements(x, x_step, n, sizeof(T), out);
      return copy_elements(y, y_step, n, sizeof(T), out);
    }
    if (x_step != 0 && y_step != 0) {
      for (int64_t i = 0; i < n; ++i) out[i] = pick(c[i], x[i], y[i]);
    } else if (x_step != 0) {
      for (int64_t i = 0; i < n; ++i) out[i] = pick(c[i], x[i], *y);
    } else {
      for (int64_t i = 0; i < n; ++i) out[i] = pick(c[i], *x, y[i * y_step]);
    }
  }

  template <typename T>
  static void choose(const RunContext& run) {
    const auto& loop = run.state<WhereState>().loop;
    loop.parallel(run.pool(), 1.0, [&](const int64_t* at, int64_t n) {
      choose_row(run.input(0).as<uint8_t>() + at[0], loop.inner_stride(0),
                 run.input(1).as<T>() + at[1], loop.inner_stride(1), run.input(2).as<T>() + at[2],
                 loop.inner_stride(2), n, run.output(0).as<T>() + at[3]);
    });
  }
};

}  // namespace

OpPtr make_equal(const NodeDef&) { return std::make_unique<Comparison>(Relation::equal); }
OpPtr make_less(const NodeDef&) { return std::make_unique<Comparison>(Relation::less); }
OpPtr make_less_equal(const NodeDef&) { return std::make_unique<Comparison>(Relation::less_equal); }
OpPtr make_greater(const NodeDef&) { return std::make_unique<Comparison>(Relation::greater); }
OpPtr make_greater_equal(const NodeDef&) {
  return std::make_unique<Comparison>(Relation::greater_equal);
}
OpPtr make_and(const NodeDef&) { return std::make_unique<LogicOp>(Logic::both); }
OpPtr make_or(const NodeDef&) { return std::make_unique<LogicOp>(Logic::either); }
OpPtr make_xor(const NodeDef&) { return std::make_unique<LogicOp>(Logic::one); }
OpPtr make_not(const NodeDef&) { return std::make_unique<Not>(); }
OpPtr make_where(const NodeDef&) { return std::make_unique<Where>(); }

}  // namespace pycompress
