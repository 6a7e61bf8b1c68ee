// linear and conv by way of bfloat16: what their float32 forms compute, of rounded operands.
#include "conv/bf16.h"

#include <utility>
#include <vector>

#include "engine/fused.h"
#include "engine/ops/ops.h"
#include "engine/ops/windows.h"

namespace pycompress {
namespace {

struct ReadyState final : OpState {
  explicit ReadyState(const Layer& layer) : ready(layer, {}, nullptr) {}
  LayerEpilogue ready;
  Placement placement;
};

// What both share: weights [rows of w.shape][...] whose float32 values are packed, and an
// activation that may be none of the epilogue's.
class Bf16Layer : public Op {
 public:
  void run(const RunContext& run) const override {
    const auto& state = run.state<ReadyState>();
    const Tensor& y = run.output(0);
    const int64_t n = layer_.channels;
    if (y.elements() == 0) return;
    const void* residual = layer_.has_residual ? run.input(3).data : nullptr;
    multiply(run, state, state.ready.epilogue(residual, n));
    if (!layer_.finishes()) return;
    float* sums = y.as<float>();
    parallel_ranges(run.pool(), y.elements() / n, 5.0 * static_cast<double>(n),
                    [&](int64_t begin, int64_t end) {
                      layer_.finish_rows(run.set(), sums + begin * n, end - begin, n, n, nullptr, n,
                                         sums + begin * n, n);
                    });
  }

 protected:
  Bf16Layer(const NodeDef& node, int channel_axis) : layer_(node, channel_axis) {
    if (layer_.mode != LayerMode::f32) fail("the layer is one of integers, wanted float32");
    if (layer_.integer_out) fail("attribute 'y_scale' is not for a layer of bfloat16");
  }

  virtual void multiply(const RunContext& run, const ReadyState& state,
                        const Epilogue& epilogue) const = 0;

  // The weights in float32; `kept` holds them where they have to be made.
  const float* weights(const NodeDef& node, int channel_axis, std::vector<float>* kept) const {
    const Tensor& w = node.need_weights(1, "w");
    if (w.dtype == DType::f32) return w.as<float>();
    *kept = layer_.float_weights(w, channel_axis);
    return kept->data();
  }

  std::unique_ptr<ReadyState> ready(PlanContext& plan, const Shape& y) const {
    layer_.check_inputs(plan, y);
    plan.output(0, DType::f32, y);
    return std::make_unique<ReadyState>(layer_);
  }

  Layer layer_;
};

class LinearBf16 final : public Bf16Layer {
 public:
  explicit LinearBf16(const NodeDef& node) : Bf16Layer(node, 1) {
    node.ignore({"by_row"});
    const Tensor& w = node.need_weights(1, "w");
    if (w.shape.rank() != 2) fail("input 1 (w) has shape " + w.shape.str() + ", wanted [K, N]");
    k_ = w.shape[0];
    const int64_t n = w.shape[1];
    packed_ = node.store().bf16(node.set(), 1, k_, n, [&] {
      std::vector<float> kept;
      return pack_bf16(node.set(), weights(node, 1, &kept), 1, k_, n, 0, n, 1);
    });
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    Shape y = plan.shape(0);
    if (y.rank() < 1 || y[y.rank() - 1] != k_)
      fail("input 0 (x) has shape " + y.str() + ", wanted [..., " + str(k_) + "]");
    y[y.rank() - 1] = packed_.n;
    return ready(plan, y);
  }

 private:
  void multiply(const RunContext& run, const ReadyState&, const Epilogue& epilogue) const override {
    const Tensor& y = run.output(0);
    gemm_bf16(run.input(0).as<float>(), k_, packed_, y.elements() / packed_.n, epilogue, y.data,
              packed_.n, run.pool());
  }

  int64_t k_ = 0;
  PackedBf16 packed_;
};

class ConvBf16 final : public Bf16Layer {
 public:
  explicit ConvBf16(const NodeDef& node) : Bf16Layer(node, 0) {
    const Shape& w = node.need_weights(1, "w").shape;
    if (node.integer("group", 1) != 1) fail("attribute group is not 1");
    conv_ = conv_bf16_form(w[0], w[1], read_conv_window(node, w));
    conv_.panels =
        node.store().bf16(node.set(), conv_.gemm_taps(), conv_.gemm_depth(), conv_.filters, [&] {
          std::vector<float> kept;
          return pack_filters_bf16(node.set(), conv_, weights(node, 0, &kept));
        });
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Placement placement = place_on(plan.shape(0), conv_.window, conv_.channels);
    auto state = ready(plan, shape_of(placement, conv_.filters));
    state->placement = placement;
    return state;
  }

 private:
  void multiply(const RunContext& run, const ReadyState& state,
                const Epilogue& epilogue) const override {
    conv_bf16(run.input(0).as<float>(), conv_, state.placement, epilogue, run.output(0).data,
              run.pool());
  }

  PackedConvBf16 conv_;
};

}  // namespace

OpPtr make_linear_bf16(const NodeDef& node) { return std::make_unique<LinearBf16>(node); }
OpPtr make_conv_bf16(const NodeDef& node) { return std::make_unique<ConvBf16>(node); }

}  // namespace pycompress
