// Convolutions whose weights are computed, or given with each call: packed anew in each run.
#include <cstring>

#include "conv/conv.h"
#include "engine/ops/ops.h"
#include "engine/ops/windows.h"

namespace pycompress {
namespace {

struct PlacedState final : OpState {
  Window window;
  Placement place;
};

// What Conv and ConvInteger share: the window, whose size comes from the weights' shape.
class ComputedConv : public Op {
 public:
  explicit ComputedConv(const NodeDef& node)
      : kernel_(node.integers("kernel_shape")),
        strides_(node.integers("strides")),
        dilations_(node.integers("dilations")),
        pads_(node.integers("pads")),
        auto_pad_(node.text("auto_pad", "NOTSET")),
        groups_(node.integer("group", 1)) {}

 protected:
  std::unique_ptr<PlacedState> plan_window(PlanContext& plan, DType y) const {
    const Shape& w = plan.shape(1);
    if (w.rank() < 3 || w.rank() > 5) {
      fail("input 1 (w) must have 1 to 3 spatial dimensions after its channels, found " + w.str());
    }
    const std::vector<int64_t> kernel(w.begin() + 2, w.end());
    if (!kernel_.empty() && kernel_ != kernel) {
      fail("attribute 'kernel_shape' " + Shape(kernel_).str() +
           " differs from that of input 1 (w), " + w.str());
    }
    if (groups_ < 1 || w[0] % groups_ != 0) {
      fail("attribute 'group' is " + str(groups_) + ", input 1 (w) has " + str(w[0]) + " filters");
    }
    auto state = std::make_unique<PlacedState>();
    state->window = Window::from_attributes(kernel, strides_, dilations_, pads_, auto_pad_, false);
    state->place = place_on(plan.shape(0), state->window, w[1] * groups_);
    plan.output(0, y, shape_of(state->place, w[0]));
    return state;
  }

  static void check_vector(const PlanContext& plan, int i, DType dtype, int64_t wanted,
                           const char* what) {
    if (!plan.has(i)) return;
    plan.need_dtype(i, dtype, what);
    if (const int64_t found = plan.shape(i).elements(); found != wanted && found != 1) {
      fail("input " + str(i) + " (" + what + ") has shape " + plan.shape(i).str() + ", wanted [" +
           str(wanted) + "]");
    }
  }

  void convolve(const RunContext& run, const PackedConv& conv, int32_t x_zero,
                Epilogue epilogue) const {
    const Tensor& x = run.input(0);
    const ConvPlan plan(conv, run.state<PlacedState>().place);
    const int threads = run.pool() == nullptr ? 1 : run.pool()->size();
    AlignedBuffer scratch(plan.scratch_bytes(threads, false));
    AlignedBuffer persistent(plan.persistent_bytes());
    std::memset(persistent.data(), 0, plan.persistent_bytes());
    ConvRun all;
    all.x = x.data;
    all.x_signed = x.dtype == DType::s8;
    all.x_slack = x.slack;
    all.x_zero = x_zero;
    all.epilogue = &epilogue;
    all.y = run.output(0).data;
    all.scratch = scratch.data();
    all.persistent = persistent.data();
    all.pool = run.pool();
    plan.run(all);
  }

  int64_t groups() const { return groups_; }

 private:
  std::vector<int64_t> kernel_, strides_, dilations_, pads_;
  std::string auto_pad_;
  int64_t groups_;
};

class FloatConv final : public ComputedConv {
 public:
  using ComputedConv::ComputedConv;

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "x");
    plan.need_dtype(1, DType::f32, "w");
    check_vector(plan, 2, DType::f32, plan.shape(1)[0], "b");
    return plan_window(plan, DType::f32);
  }

  void run(const RunContext& run) const override {
    if (run.output(0).elements() == 0) return;
    const Tensor& w = run.input(1);
    const PackedConv conv = pack_conv_f32(run.set(), w.as<float>(), w.shape[0], w.shape[1],
                                          groups(), run.state<PlacedState>().window);
    std::vector<float> bias;
    if (run.has(2)) {
      const Tensor& b = run.input(2);
      bias.assign(b.as<float>(), b.as<float>() + b.elements());
      bias.resize(static_cast<size_t>(w.shape[0]), bias[0]);
    }
    Epilogue epilogue;
    epilogue.out = Out::f32;
    epilogue.bias = bias.empty() ? nullptr : bias.data();
    convolve(run, conv, 0, epilogue);
  }
};

class IntegerConv final : public ComputedConv {
 public:
  using ComputedConv::ComputedConv;

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    for (int i = 0; i < 2; ++i) {
      if (!is_integer8(plan.dtype(i)))
        fail("input " + str(i) + " must be uint8 or int8, found " + dtype_name(plan.dtype(i)));
    }
    check_vector(plan, 2, plan.dtype(0), 1, "x_zero_point");
    check_vector(plan, 3, plan.dtype(1), plan.shape(1)[0], "w_zero_point");
    return plan_window(plan, DType::s32);
  }

  void run(const RunContext& run) const override {
    if (run.output(0).elements() == 0) return;
    const Tensor& x = run.input(0);
    const Tensor& w = run.input(1);
    const auto filters = static_cast<size_t>(w.shape[0]);
    std::vector<int32_t> zeros;
    if (run.has(3)) {
      for (int64_t o = 0; o < run.input(3).elements(); ++o) zeros.push_back(byte(run.input(3), o));
      zeros.resize(filters, zeros[0]);
    }
    const PackedConv conv =
        pack_conv_int8(run.set(), w.data, w.dtype == DType::s8, w.shape[0], w.shape[1], groups(),
                       run.state<PlacedState>().window, zeros.empty() ? nullptr : zeros.data());
    const int32_t x_zero = run.has(2) ? byte(run.input(2), 0) : 0;
    std::vector<int32_t> init(filters);
    conv_init(conv, x_zero, x.dtype == DType::s8, nullptr, init.data());
    Epilogue epilogue;
    epilogue.init = init.data();
    convolve(run, conv, x_zero, epilogue);
  }

 private:
  static int32_t byte(const Tensor& x, int64_t i) {
    return x.dtype == DType::u8 ? x.as<uint8_t>()[i] : x.as<int8_t>()[i];
  }
};

}  // namespace

OpPtr make_computed_conv(const NodeDef& node) { return std::make_unique<FloatConv>(node); }
OpPtr make_computed_conv_integer(const NodeDef& node) {
  return std::make_unique<IntegerConv>(node);
}

}  // namespace pycompress
