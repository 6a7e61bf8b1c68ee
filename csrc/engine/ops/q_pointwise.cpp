// Pointwise operators on 8-bit tensors: q_table (any unary function), q_add and q_mul.
#include <algorithm>
#include <cstring>

#include "engine/elementwise.h"
#include "engine/fused.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

class QTable final : public Op {
 public:
  explicit QTable(const NodeDef& node) {
    const AttrArray* table = node.array("table");
    if (table == nullptr || table->dtype != DType::u8 || table->shape.elements() != 256) {
      fail("attribute 'table' must be an array of 256 uint8");
    }
    table_ = table->bytes;
    const std::string dtype = node.text("y_dtype", "");
    if (!dtype.empty() && dtype != "uint8" && dtype != "int8")
      fail("attribute 'y_dtype' must be uint8 or int8, found '" + dtype + "'");
    same_ = dtype.empty();
    y_dtype_ = dtype == "int8" ? DType::s8 : DType::u8;
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (!is_integer8(plan.dtype(0)))
      fail(std::string("input 0 must be uint8 or int8, found ") + dtype_name(plan.dtype(0)));
    plan.output(0, same_ ? plan.dtype(0) : y_dtype_, plan.shape(0));
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const auto* x = run.input(0).as<uint8_t>();
    auto* y = run.output(0).as<uint8_t>();
    parallel_ranges(run.pool(), run.output(0).elements(), 0.5, [&](int64_t begin, int64_t end) {
      run.set().pointwise->table(x + begin, end - begin, table_.data(), y + begin);
    });
  }

 private:
  std::vector<uint8_t> table_;
  bool same_ = true;
  DType y_dtype_ = DType::u8;
};

// What q_add and q_mul have in common: two tensors of one 8-bit type, each with scale and zero
// point, broadcast.
class QBinary final : public Op {
 public:
  QBinary(const NodeDef& node, bool product) : product_(product) {
    const auto scale = [&](const char* name) {
      const float value = node.number(name, 0.0f);
      if (!(value > 0.0f)) fail("attribute '" + std::string(name) + "' must be given and positive");
      return static_cast<double>(value);
    };
    const double a_scale = scale("a_scale");
    const double b_scale = scale("b_scale");
    const double y_scale = scale("y_scale");
    args_.a_zero = static_cast<int32_t>(node.integer("a_zero", 0));
    args_.b_zero = static_cast<int32_t>(node.integer("b_zero", 0));
    args_.y_zero = static_cast<int32_t>(node.integer("y_zero", 0));
    const Activation activation = read_activation(node);
    if (!activation.clamps()) fail("attribute 'activation' must be relu or clip");
    args_.lo = static_cast<float>(static_cast<double>(activation.lo()) / y_scale);
    args_.hi = static_cast<float>(static_cast<double>(activation.hi()) / y_scale);
    args_.a_scale = static_cast<float>(product ? a_scale * b_scale / y_scale : a_scale / y_scale);
    args_.b_scale = static_cast<float>(b_scale / y_scale);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (!is_integer8(plan.dtype(0)))
      fail(std::string("input 0 must be uint8 or int8, found ") + dtype_name(plan.dtype(0)));
    plan.need_dtype(1, plan.dtype(0), "b");
    const Shape out = broadcast_shapes(plan.shape(0), plan.shape(1));
    plan.output(0, plan.dtype(0), out);
    if (plan.shape(0) == out) plan.in_place(0, 0);
    if (plan.shape(1) == out) plan.in_place(0, 1);
    return std::make_unique<BroadcastState>(broadcast_loop(plan.shape(0), plan.shape(1), out));
  }

  void run(const RunContext& run) const override {
    const auto& loop = run.state<BroadcastState>().loop;
    PointwiseKernels::AddArgs args = args_;
    args.is_signed = run.output(0).dtype == DType::s8;
    const int64_t a_step = loop.inner() == 1 ? 1 : loop.inner_stride(0);
    const int64_t b_step = loop.inner() == 1 ? 1 : loop.inner_stride(1);
    loop.parallel(run.pool(), 1.0, [&](const int64_t* at, int64_t n) {
      row(run.set(), args, run.input(0).as<uint8_t>() + at[0], a_step,
          run.input(1).as<uint8_t>() + at[1], b_step, n, run.output(0).as<uint8_t>() + at[2]);
    });
  }

 private:
  // The kernel takes two arrays: a value that repeats is spread over a short one.
  void row(const KernelSet& set, const PointwiseKernels::AddArgs& args, const uint8_t* a,
           int64_t a_step, const uint8_t* b, int64_t b_step, int64_t n, uint8_t* y) const {
    const auto combine = product_ ? set.pointwise->mul_q8 : set.pointwise->add_q8;
    if (a_step == 1 && b_step == 1) return combine(args, a, b, n, y);
    constexpr int64_t kChunk = 512;
    uint8_t spread[kChunk];
    std::memset(spread, a_step == 0 ? *a : *b, static_cast<size_t>(std::min(n, kChunk)));
    for (int64_t i = 0; i < n; i += kChunk) {
      combine(args, a_step == 0 ? spread : a + i, a_step == 0 ? b + i : spread,
              std::min(kChunk, n - i), y + i);
    }
  }

  bool product_;
  PointwiseKernels::AddArgs args_{};
};

}  // namespace

OpPtr make_q_table(const NodeDef& node) { return std::make_unique<QTable>(node); }
OpPtr make_q_add(const NodeDef& node) { return std::make_unique<QBinary>(node, false); }
OpPtr make_q_mul(const NodeDef& node) { return std::make_unique<QBinary>(node, true); }

}  // namespace pycompress
