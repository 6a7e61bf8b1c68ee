// Convolutions over NHWC: the preset format `conv` in all its ways, and ONNX ConvInteger.
//
// Of two that quantize their inputs at run time, the first can do that for the second: with
// `y_dynamic` its outputs are y in u8, scale and zero point, or, with four outputs, y in float32,
// scale, zero point and y in u8. The second one's inputs 0, 4 and 5 are these.
#include "engine/conv_hand_over.h"
#include "engine/conv_layer.h"
#include "engine/conv_source.h"
#include "engine/ops/ops.h"
#include "engine/ops/windows.h"

namespace pycompress {
namespace {

class Conv;

struct ConvState final : OpState {
  ConvPlan plan;
  LayerEpilogue ready;
  ConvHandOver hand_over;
  // The one that computes x along the way, if there is one.
  const Conv* before = nullptr;
  std::unique_ptr<OpState> its_state;
  int its_inputs = 0;         // the number of the first
  size_t its_scratch = 0;     // where it begins,
  size_t source_scratch = 0;  // and that of what lies between
};

class Conv final : public Op {
 public:
  explicit Conv(const NodeDef& node)
      : layer_(node, 0),
        window_(read_conv_window(node, node.need_weights(1, "w").shape)),
        conv_(pack(node)) {
    y_dynamic_ = node.flag("y_dynamic", false);
    if (y_dynamic_ && layer_.integer_out)
      fail("attribute 'y_dynamic' is for a layer without 'y_scale'");
    layer_.x_handed = node.has(4);
    if (layer_.x_handed != node.has(5)) fail("inputs 4 and 5 come together");
    if (layer_.x_handed && layer_.mode != LayerMode::dynamic)
      fail("inputs 4 and 5 are for a layer with the attribute 'dynamic'");
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    auto state = std::make_unique<ConvState>();
    state->plan = ConvPlan(conv_, place_on(plan.shape(0), window_, conv_.channels()));
    const Shape y = shape_of(state->plan.placement(), conv_.filters);
    layer_.check_inputs(plan, y);
    state->ready = conv_layer_epilogue(layer_, conv_, plan.dtype(0) == DType::s8);
    if (layer_.x_handed) {
      check_scalar(plan, 4, DType::f32, "x_scale");
      check_scalar(plan, 5, DType::s32, "x_zero");
    }
    const int outputs = plan.outputs();
    if (y_dynamic_ ? outputs != 3 && outputs != 4 : outputs != 1)
      fail(str(outputs) + " outputs, wanted " + (y_dynamic_ ? "3 or 4" : "1"));
    const bool keeps = outputs != 3;
    plan.output(0, keeps ? layer_.y_dtype : DType::u8, y);
    if (plan.has(3) && keeps) plan.in_place(0, 3);
    const ConvLayer all{layer_, conv_, state->plan, state->ready};
    if (!y_dynamic_) {
      plan.scratch(all.scratch_bytes(plan.threads()));
      plan.persistent(state->plan.persistent_bytes());
      return state;
    }
    plan.output(1, DType::f32, Shape{});
    plan.output(2, DType::s32, Shape{});
    if (keeps) plan.output(3, DType::u8, y);
    state->hand_over = ConvHandOver(all, keeps);
    plan.scratch(state->hand_over.scratch_bytes(all, plan.threads()));
    plan.persistent(state->hand_over.persistent_bytes(all));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<ConvState>();
    if (state.before == nullptr) return run_on(run, input(run, 0), nullptr);
    const auto& first = static_cast<const ConvState&>(*state.its_state);
    const ConvLayer its{state.before->layer_, state.before->conv_, first.plan, first.ready};
    const Input x = state.before->input(run, state.its_inputs);
    const LayerSource source(its, {x.x, x.handed ? &x.scale : nullptr},
                             run.scratch() + state.its_scratch, run.pool());
    run_on(run, {Tensor{}, false, {}}, &source);
  }

  bool take_over(const Preceding& preceding, OpState* own, size_t* scratch) const override {
    const auto* before = dynamic_cast<const Conv*>(&preceding.op);
    if (before == nullptr || before->y_dynamic_) return false;
    auto& state = static_cast<ConvState&>(*own);
    const auto& first = static_cast<const ConvState&>(*preceding.state);
    const ConvLayer its{before->layer_, before->conv_, first.plan, first.ready};
    if (first.before != nullptr ||
        !LayerSource::fits(its, {layer_, conv_, state.plan, state.ready}))
      return false;
    const auto aligned = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
    state.before = before;
    state.its_inputs = preceding.at;
    state.its_scratch = aligned(*scratch);
    state.source_scratch = state.its_scratch + aligned(its.scratch_bytes(preceding.threads));
    *scratch = state.source_scratch + state.plan.source_scratch_bytes(preceding.threads);
    state.its_state = std::move(preceding.state);
    return true;
  }

 private:
  struct Input {
    Tensor x;
    bool handed;
    DynamicScale scale;
  };

  // What run() finds from input `at` on.
  Input input(const RunContext& run, int at) const {
    if (!layer_.x_handed) return {run.input(at), false, {}};
    return {
        run.input(at), true, {*run.input(at + 4).as<float>(), *run.input(at + 5).as<int32_t>()}};
  }

  void run_on(const RunContext& run, const Input& input, const ConvSource* source) const {
    const auto& state = run.state<ConvState>();
    const ConvLayer all{layer_, conv_, state.plan, state.ready};
    const ConvInput x{input.x, input.handed ? &input.scale : nullptr, source,
                      run.scratch() + state.source_scratch};
    const void* residual = layer_.has_residual ? run.input(3).data : nullptr;
    if (!y_dynamic_) {
      all.run(x, residual, run.output(0).data, run.scratch(), run.persistent(), run.pool());
      return;
    }
    const bool keeps = run.outputs() == 4;
    HandedOver to;
    to.q = run.output(keeps ? 3 : 0).as<uint8_t>();
    to.scale = run.output(1).as<float>();
    to.zero = run.output(2).as<int32_t>();
    if (keeps) to.y = run.output(0).as<float>();
    state.hand_over.run(all, x, residual, to, run.scratch(), run.persistent(), run.pool());
  }

  static void check_scalar(const PlanContext& plan, int i, DType dtype, const char* what) {
    plan.need_dtype(i, dtype, what);
    if (plan.shape(i).elements() == 1) return;
    fail("input " + str(i) + " (" + what + ") has shape " + plan.shape(i).str() + ", wanted []");
  }

  PackedConv pack(const NodeDef& node) const {
    const Tensor& w = node.need_weights(1, "w");
    const int64_t groups = node.integer("group", 1);
    return node.store().convolution(
        node.set(), layer_.mode == LayerMode::f32, w.shape[0], w.shape[1], groups, window_,
        [&] { return pack_layer_conv(node.set(), layer_, w, groups, window_); });
  }

  Layer layer_;
  Window window_;
  PackedConv conv_;
  bool y_dynamic_ = false;
};

// ONNX ConvInteger-10: int32 sums of (x - x_zero) * (w - w_zero).
class ConvInteger final : public Op {
 public:
  explicit ConvInteger(const NodeDef& node) {
    const Tensor& w = node.need_weights(1, "w");
    if (!is_integer8(w.dtype)) {
      fail(std::string("input 1 (w) must be uint8 or int8, found ") + dtype_name(w.dtype));
    }
    window_ = read_conv_window(node, w.shape);
    std::vector<int32_t> zeros;
    if (node.has(3)) {
      const Tensor& zero = node.need_constant(3, "w_zero_point");
      if (zero.dtype != w.dtype || (zero.elements() != 1 && zero.elements() != w.shape[0])) {
        fail("input 3 (w_zero_point) must be one or " + str(w.shape[0]) + " values of " +
             dtype_name(w.dtype) + ", found " + zero.shape.str() + " of " + dtype_name(zero.dtype));
      }
      for (int64_t o = 0; o < w.shape[0]; ++o)
        zeros.push_back(byte(zero, zero.elements() == 1 ? 0 : o));
    }
    const int64_t groups = node.integer("group", 1);
    conv_ =
        node.store().convolution(node.set(), false, w.shape[0], w.shape[1], groups, window_, [&] {
          return pack_conv_int8(node.set(), w.data, w.dtype == DType::s8, w.shape[0], w.shape[1],
                                groups, window_, zeros.empty() ? nullptr : zeros.data());
        });
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (!is_integer8(plan.dtype(0))) {
      fail(std::string("input 0 (x) must be uint8 or int8, found ") + dtype_name(plan.dtype(0)));
    }
    if (plan.has(2)) {
      plan.need_dtype(2, plan.dtype(0), "x_zero_point");
      if (plan.shape(2).elements() != 1) {
        fail("input 2 (x_zero_point) must be one value, found " + plan.shape(2).str());
      }
    }
    auto state = std::make_unique<ConvState>();
    state->plan = ConvPlan(conv_, place_on(plan.shape(0), window_, conv_.channels()));
    plan.output(0, DType::s32, shape_of(state->plan.placement(), conv_.filters));
    plan.scratch(state->plan.scratch_bytes(plan.threads(), false) + init_bytes());
    plan.persistent(state->plan.persistent_bytes());
    return state;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    auto* init = reinterpret_cast<int32_t*>(run.scratch());
    ConvRun conv;
    conv.x = x.data;
    conv.x_signed = x.dtype == DType::s8;
    conv.x_slack = x.slack;
    conv.x_zero = run.has(2) ? byte(run.input(2), 0) : 0;
    conv_init(conv_, conv.x_zero, conv.x_signed, nullptr, init);
    Epilogue epilogue;
    epilogue.init = init;
    conv.epilogue = &epilogue;
    conv.y = run.output(0).data;
    conv.scratch = run.scratch() + init_bytes();
    conv.persistent = run.persistent();
    conv.pool = run.pool();
    run.state<ConvState>().plan.run(conv);
  }

 private:
  static int32_t byte(const Tensor& x, int64_t i) {
    return x.dtype == DType::u8 ? x.as<uint8_t>()[i] : x.as<int8_t>()[i];
  }
  size_t init_bytes() const { return (static_cast<size_t>(conv_.filters) * 4 + 63) / 64 * 64; }

  Window window_;
  PackedConv conv_;
};

}  // namespace

OpPtr make_conv(const NodeDef& node) { return std::make_unique<Conv>(node); }
OpPtr make_conv_integer(const NodeDef& node) {
  const bool known = node.constant(1) != nullptr && (!node.has(3) || node.constant(3) != nullptr);
  return known ? std::make_unique<ConvInteger>(node) : make_computed_conv_integer(node);
}

}  // namespace pycompress
