// LayerNormalization, InstanceNormalization and BatchNormalization of float32.
#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

class LayerNorm final : public Op {
 public:
  LayerNorm(int64_t axis, float epsilon) : axis_(axis), epsilon_(epsilon) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int axis = normalize_axis(axis_, in.rank());
    Shape normalized;
    Shape reduced = in;
    for (int i = axis; i < in.rank(); ++i) {
      normalized.push(in[i]);
      reduced[i] = 1;
    }
    constexpr const char* kNames[] = {"X", "Scale", "B"};
    for (int i = 0; i < plan.inputs(); ++i) {
      if (!plan.has(i)) continue;
      plan.need_dtype(i, DType::f32, kNames[i]);
      if (i > 0 && broadcast_shapes(plan.shape(i), normalized) != normalized) {
        fail("input " + str(i) + " (" + kNames[i] + ") has shape " + plan.shape(i).str() +
             ", wanted " + normalized.str());
      }
    }
    plan.output(0, DType::f32, in);
    plan.in_place(0, 0);
    for (int i = 1; i < plan.outputs(); ++i) plan.output(i, DType::f32, reduced);
    // Scale and B of the full length, when they are not given that way.
    plan.scratch(2 * sizeof(float) * static_cast<size_t>(normalized.elements()));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    const int axis = normalize_axis(axis_, x.shape.rank());
    const int64_t rows = x.shape.product(0, axis);
    const int64_t n = x.shape.product(axis, x.shape.rank());
    if (n == 0) return;
    auto* scratch = reinterpret_cast<float*>(run.scratch());
    const float* scale = full_length(run, 1, axis, 1.0f, scratch);
    const float* bias = full_length(run, 2, axis, 0.0f, scratch + n);
    float* mean = run.wants(1) ? run.output(1).as<float>() : nullptr;
    float* deviation = run.wants(2) ? run.output(2).as<float>() : nullptr;
    parallel_ranges(
        run.pool(), rows, 3.0 * static_cast<double>(n), [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; mean != nullptr && r < end; ++r) {
            statistics(x.as<float>() + r * n, n, mean + r,
                       deviation == nullptr ? nullptr : deviation + r);
          }
          run.set().pointwise->layer_norm(x.as<float>() + begin * n, end - begin, n, n, scale, bias,
                                          epsilon_, y.as<float>() + begin * n);
        });
  }

 private:
  static const float* full_length(const RunContext& run, int i, int axis, float otherwise,
                                  float* scratch) {
    const Shape& in = run.input(0).shape;
    const int64_t n = in.product(axis, in.rank());
    if (!run.has(i)) {
      std::fill(scratch, scratch + n, otherwise);
      return scratch;
    }
    const Tensor& given = run.input(i);
    if (given.elements() == n) return given.as<float>();
    Shape normalized;
    for (int d = axis; d < in.rank(); ++d) normalized.push(in[d]);
    int64_t from[kMaxRank];
    int64_t to[kMaxRank];
    broadcast_strides(given.shape, normalized, from);
    row_major_strides(normalized, to);
    copy_strided(nullptr, StridedLoop<2>(normalized, {from, to}), sizeof(float), given.data,
                 scratch);
    return scratch;
  }

  void statistics(const float* row, int64_t n, float* mean, float* deviation) const {
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(row[i]);
    const double middle = sum / static_cast<double>(n);
    *mean = static_cast<float>(middle);
    if (deviation == nullptr) return;
    double squares = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      const double d = static_cast<double>(row[i]) - middle;
      squares += d * d;
    }
    *deviation = static_cast<float>(
        1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(epsilon_)));
  }

  int64_t axis_;
  float epsilon_;
};

void need_channels(const PlanContext& plan, int i, int64_t channels, const char* what) {
  plan.need_dtype(i, DType::f32, what);
  if (plan.shape(i).elements() != channels) {
    fail("input " + str(i) + " (" + what + ") has shape " + plan.shape(i).str() + ", wanted [" +
         str(channels) + "]");
  }
}

// y = x * a + b over rows of one channel (channels last when the rows have length 1).
void scale_channels(const RunContext& run, const Tensor& x, const float* a, const float* b,
                    const Tensor& y) {
  const int64_t channels = x.shape[1];
  const int64_t n = x.shape.product(2, x.shape.rank());
  const PointwiseKernels& pointwise = *run.set().pointwise;
  const int64_t step = n == 1 ? 1 : 0;
  const int64_t length = n == 1 ? channels : n;
  const int64_t rows = n == 1 ? x.shape[0] : x.shape[0] * channels;
  parallel_ranges(
      run.pool(), rows, 2.0 * static_cast<double>(length), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t c = n == 1 ? 0 : r % channels;
          float* to = y.as<float>() + r * length;
          pointwise.binary(Binary::mul, x.as<float>() + r * length, 1, a + c, step, length, to);
          pointwise.binary(Binary::add, to, 1, b + c, step, length, to);
        }
      });
}

class BatchNorm final : public Op {
 public:
  explicit BatchNorm(float epsilon) : epsilon_(epsilon) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    const Shape& in = plan.shape(0);
    if (in.rank() < 2) fail("X has shape " + in.str() + ", at least 2 dimensions are needed");
    constexpr const char* kNames[] = {"X", "scale", "B", "input_mean", "input_var"};
    for (int i = 1; i < 5; ++i) need_channels(plan, i, in[1], kNames[i]);
    plan.output(0, DType::f32, in);
    plan.in_place(0, 0);
    plan.scratch(2 * sizeof(float) * static_cast<size_t>(in[1]));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    if (x.elements() == 0) return;
    const int64_t channels = x.shape[1];
    auto* a = reinterpret_cast<float*>(run.scratch());
    float* b = a + channels;
    for (int64_t c = 0; c < channels; ++c) {
      const double factor = static_cast<double>(run.input(1).as<float>()[c]) /
                            std::sqrt(static_cast<double>(run.input(4).as<float>()[c]) +
                                      static_cast<double>(epsilon_));
      a[c] = static_cast<float>(factor);
      b[c] = static_cast<float>(static_cast<double>(run.input(2).as<float>()[c]) -
                                static_cast<double>(run.input(3).as<float>()[c]) * factor);
    }
    scale_channels(run, x, a, b, run.output(0));
  }

 private:
  float epsilon_;
};

class InstanceNorm final : public Op {
 public:
  explicit InstanceNorm(float epsilon) : epsilon_(epsilon) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "input");
    const Shape& in = plan.shape(0);
    if (in.rank() < 3) fail("input has shape " + in.str() + ", at least 3 dimensions are needed");
    need_channels(plan, 1, in[1], "scale");
    need_channels(plan, 2, in[1], "B");
    plan.output(0, DType::f32, in);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    const int64_t channels = x.shape[1];
    const int64_t n = x.shape.product(2, x.shape.rank());
    if (x.elements() == 0) return;
    const float* scale = run.input(1).as<float>();
    const float* bias = run.input(2).as<float>();
    const PointwiseKernels& pointwise = *run.set().pointwise;
    parallel_ranges(run.pool(), x.shape[0] * channels, 5.0 * static_cast<double>(n),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t r = begin; r < end; ++r) {
                        float* to = y.as<float>() + r * n;
                        pointwise.layer_norm(x.as<float>() + r * n, 1, n, n, nullptr, nullptr,
                                             epsilon_, to);
                        pointwise.binary(Binary::mul, to, 1, scale + r % channels, 0, n, to);
                        pointwise.binary(Binary::add, to, 1, bias + r % channels, 0, n, to);
                      }
                    });
  }

 private:
  float epsilon_;
};

}  // namespace

OpPtr make_layer_norm(const NodeDef& node) {
  if (node.integer("stash_type", 1) != 1) fail("attribute 'stash_type' must be 1 (float32)");
  return std::make_unique<LayerNorm>(node.integer("axis", -1), node.number("epsilon", 1e-5f));
}

OpPtr make_batch_norm(const NodeDef& node) {
  node.ignore({"momentum"});  // only training uses it
  if (node.flag("training_mode", false)) fail("attribute 'training_mode' must be 0");
  return std::make_unique<BatchNorm>(node.number("epsilon", 1e-5f));
}

OpPtr make_instance_norm(const NodeDef& node) {
  return std::make_unique<InstanceNorm>(node.number("epsilon", 1e-5f));
}

}  // namespace pycompress
