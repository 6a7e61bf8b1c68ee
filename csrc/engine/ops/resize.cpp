// Resize-18, one axis after the other: every result along an axis is a weighted sum of a few
// places, found once per plan. Axes are those of the tensor as it lies, in any layout.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Mode { nearest, linear, cubic };

// How one axis is resampled: result j is the sum of weight[j * taps + t] * x[index[j * taps + t]],
// or the extrapolation value where outside[j].
struct AxisPass {
  int axis = 0;
  int64_t in = 0, out = 0, taps = 1;
  std::vector<int64_t> index;
  std::vector<float> weight;
  std::vector<bool> outside;
};

struct ResizeState final : OpState {
  DType dtype = DType::f32;
  Shape x;
  std::vector<AxisPass> passes;
  int64_t largest = 0;  // elements of the largest intermediate tensor
};

double cubic_weight(double x, double a) {
  x = std::fabs(x);
  if (x <= 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

class Resize final : public Op {
 public:
  explicit Resize(const NodeDef& node)
      : mode_(read_mode(node.text("mode", "nearest"))),
        coordinates_(node.text("coordinate_transformation_mode", "half_pixel")),
        nearest_(node.text("nearest_mode", "round_prefer_floor")),
        policy_(node.text("keep_aspect_ratio_policy", "stretch")),
        cubic_a_(static_cast<double>(node.number("cubic_coeff_a", -0.75f))),
        extrapolation_(node.number("extrapolation_value", 0.0f)),
        exclude_outside_(node.flag("exclude_outside", false)),
        antialias_(node.flag("antialias", false)),
        axes_(node.integers("axes")) {
    check_one_of("coordinate_transformation_mode", coordinates_,
                 {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                  "asymmetric", "tf_crop_and_resize"});
    check_one_of("nearest_mode", nearest_,
                 {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
    check_one_of("keep_aspect_ratio_policy", policy_, {"stretch", "not_larger", "not_smaller"});
    if (antialias_ && mode_ == Mode::nearest)
      fail("attribute 'antialias' does not go with mode 'nearest'");
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    if (plan.dtype(0) != DType::f32 && mode_ != Mode::nearest) {
      fail(std::string("input 0 (X) must be float32 unless the mode is nearest, found ") +
           dtype_name(plan.dtype(0)));
    }
    auto state = std::make_unique<ResizeState>();
    state->dtype = plan.dtype(0);
    state->x = x;
    const std::vector<int> axes = chosen_axes(x.rank());
    std::vector<double> scales(static_cast<size_t>(x.rank()), 1.0);
    const Shape y = output_shape(plan, axes, scales);
    y.check();  // before its places are listed
    const std::vector<float> roi = floats(plan, 1, "roi");
    const bool crops = coordinates_ == "tf_crop_and_resize";
    if (crops && roi.size() != 2 * axes.size()) {
      fail("input 1 (roi) must have " + str(2 * static_cast<int64_t>(axes.size())) +
           " values, found " + str(static_cast<int64_t>(roi.size())));
    }
    Shape now = x;
    for (size_t i = 0; i < axes.size(); ++i) {
      const int axis = axes[i];
      const double begin = crops ? static_cast<double>(roi[i]) : 0.0;
      const double end = crops ? static_cast<double>(roi[axes.size() + i]) : 1.0;
      const double scale = scales[static_cast<size_t>(axis)];
      if (scale == 1.0 && y[axis] == x[axis] && begin == 0.0 && end == 1.0) continue;
      state->passes.push_back(make_pass(axis, x[axis], y[axis], scale, begin, end));
      now[axis] = y[axis];
      state->largest = std::max(state->largest, now.elements());
    }
    plan.output(0, plan.dtype(0), y);
    if (state->passes.empty()) {
      plan.view(0, 0);
    } else if (state->passes.size() > 1) {
      plan.scratch(2 * static_cast<size_t>(state->largest) * dtype_size(plan.dtype(0)));
    }
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<ResizeState>();
    const size_t half = static_cast<size_t>(state.largest) * dtype_size(state.dtype);
    const void* from = run.input(0).data;
    Shape shape = state.x;
    for (size_t i = 0; i < state.passes.size(); ++i) {
      const AxisPass& pass = state.passes[i];
      void* to = i + 1 == state.passes.size() ? run.output(0).data : run.scratch() + (i % 2) * half;
      if (mode_ == Mode::nearest) {
        copy_axis(run, state, pass, shape, from, to);
      } else {
        blend_axis(run, pass, shape, static_cast<const float*>(from), static_cast<float*>(to));
      }
      shape[pass.axis] = pass.out;
      from = to;
    }
  }

 private:
  static Mode read_mode(const std::string& name) {
    if (name == "nearest") return Mode::nearest;
    if (name == "linear") return Mode::linear;
    if (name == "cubic") return Mode::cubic;
    fail("attribute 'mode' must be nearest, linear or cubic, found '" + name + "'");
  }

  static void check_one_of(const char* name, const std::string& value,
                           std::initializer_list<const char*> choices) {
    std::string known;
    for (const char* choice : choices) {
      if (value == choice) return;
      known += (known.empty() ? "" : ", ") + std::string(choice);
    }
    fail("attribute '" + std::string(name) + "' must be one of " + known + "; found '" + value +
         "'");
  }

  std::vector<int> chosen_axes(int rank) const {
    std::vector<int> axes;
    if (axes_.empty()) {
      for (int i = 0; i < rank; ++i) axes.push_back(i);
    }
    for (int64_t axis : axes_) axes.push_back(normalize_axis(axis, rank));
    return axes;
  }

  // Values of an optional float32 input; empty when it is absent or empty.
  static std::vector<float> floats(const PlanContext& plan, int i, const char* what) {
    if (!plan.has(i) || plan.shape(i).elements() == 0) return {};
    plan.need_dtype(i, DType::f32, what);
    const Tensor* known = plan.known(i);
    if (known == nullptr) {
      fail("input " + str(i) + " (" + what +
           ") decides shapes, but its value is not known before the run");
    }
    return {known->as<float>(), known->as<float>() + known->elements()};
  }

  static int64_t whole(double size) {
    if (!(size <= static_cast<double>(kMaxElements))) fail("the output is too large");
    return static_cast<int64_t>(size);
  }

  Shape output_shape(const PlanContext& plan, const std::vector<int>& axes,
                     std::vector<double>& scales) const {
    const Shape& x = plan.shape(0);
    Shape y = x;
    const std::vector<float> factors = floats(plan, 2, "scales");
    const bool has_sizes = plan.has(3) && plan.shape(3).elements() > 0;
    if (factors.empty() == !has_sizes)
      fail("exactly one of input 2 (scales) and input 3 (sizes) is needed");
    const std::vector<int64_t> sizes =
        has_sizes ? plan.integers(3, "sizes") : std::vector<int64_t>();
    const size_t given = has_sizes ? sizes.size() : factors.size();
    if (given != axes.size()) {
      fail(std::string(has_sizes ? "input 3 (sizes)" : "input 2 (scales)") + " must have " +
           str(static_cast<int64_t>(axes.size())) + " values, found " +
           str(static_cast<int64_t>(given)));
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      const int axis = axes[i];
      double& scale = scales[static_cast<size_t>(axis)];
      if (has_sizes) {
        if (sizes[i] < 0) fail("input 3 (sizes) holds " + str(sizes[i]));
        y[axis] = sizes[i];
        scale = x[axis] == 0 ? 1.0 : static_cast<double>(sizes[i]) / static_cast<double>(x[axis]);
      } else {
        scale = static_cast<double>(factors[i]);
        if (!(scale > 0.0)) fail("input 2 (scales) must be positive");
        y[axis] = whole(std::floor(static_cast<double>(x[axis]) * scale));
      }
    }
    if (has_sizes && policy_ != "stretch") {
      double common = scales[static_cast<size_t>(axes[0])];
      for (int axis : axes) {
        const double scale = scales[static_cast<size_t>(axis)];
        common = policy_ == "not_larger" ? std::min(common, scale) : std::max(common, scale);
      }
      for (int axis : axes) {
        scales[static_cast<size_t>(axis)] = common;
        y[axis] = whole(std::floor(common * static_cast<double>(x[axis]) + 0.5));
      }
    }
    return y;
  }

  // The place in the input that result j stands for.
  double origin(double j, double in, double out, double scale, double begin, double end) const {
    const double length = scale * in;
    if (coordinates_ == "asymmetric") return j / scale;
    if (coordinates_ == "align_corners")
      return length == 1.0 ? 0.0 : j * (in - 1.0) / (length - 1.0);
    if (coordinates_ == "tf_crop_and_resize") {
      const double step = length == 1.0 ? 0.0 : j * (end - begin) * (in - 1.0) / (length - 1.0);
      return length == 1.0 ? 0.5 * (begin + end) * (in - 1.0) : begin * (in - 1.0) + step;
    }
    if (coordinates_ == "pytorch_half_pixel" && length <= 1.0) return 0.0;
    const double half = (j + 0.5) / scale - 0.5;
    if (coordinates_ != "half_pixel_symmetric") return half;
    return in / 2.0 * (1.0 - out / length) + half;
  }

  int64_t nearest(double x) const {
    if (nearest_ == "floor") return static_cast<int64_t>(std::floor(x));
    if (nearest_ == "ceil") return static_cast<int64_t>(std::ceil(x));
    const double rounded =
        nearest_ == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
    return static_cast<int64_t>(rounded);
  }

  AxisPass make_pass(int axis, int64_t in, int64_t out, double scale, double begin,
                     double end) const {
    AxisPass pass;
    pass.axis = axis;
    pass.in = in;
    pass.out = out;
    if (in == 0 && out > 0)
      fail("input 0 (X) has no element along axis " + str(axis) + " to resize from");
    // A kernel stretched over more places when the axis shrinks.
    const double shrink = antialias_ ? std::min(scale, 1.0) : 1.0;
    const double support = (mode_ == Mode::cubic ? 2.0 : 1.0) / shrink;
    if (mode_ != Mode::nearest) pass.taps = static_cast<int64_t>(std::ceil(2.0 * support)) + 1;
    for (int64_t j = 0; j < out; ++j) {
      const double x = origin(static_cast<double>(j), static_cast<double>(in),
                              static_cast<double>(out), scale, begin, end);
      pass.outside.push_back(coordinates_ == "tf_crop_and_resize" &&
                             (x < 0.0 || x > static_cast<double>(in - 1)));
      const int64_t first =
          mode_ == Mode::nearest ? nearest(x) : static_cast<int64_t>(std::floor(x - support)) + 1;
      std::vector<double> weights;
      double sum = 0.0;
      for (int64_t t = 0; t < pass.taps; ++t) {
        const double distance = (static_cast<double>(first + t) - x) * shrink;
        const bool excluded = exclude_outside_ && (first + t < 0 || first + t >= in);
        const double weight = mode_ == Mode::nearest  ? 1.0
                              : mode_ == Mode::linear ? std::max(0.0, 1.0 - std::fabs(distance))
                                                      : cubic_weight(distance, cubic_a_);
        weights.push_back(excluded ? 0.0 : weight);
        sum += weights.back();
        pass.index.push_back(std::clamp<int64_t>(first + t, 0, std::max<int64_t>(in - 1, 0)));
      }
      for (double weight : weights)
        pass.weight.push_back(static_cast<float>(sum == 0.0 ? 0.0 : weight / sum));
    }
    return pass;
  }

  // Runs body(outer, j) for every result position along the axis.
  template <typename Body>
  static void each_result(const RunContext& run, const AxisPass& pass, int64_t outer, int64_t inner,
                          const Body& body) {
    parallel_ranges(run.pool(), outer * pass.out, static_cast<double>(inner * pass.taps),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) body(i / pass.out, i % pass.out);
                    });
  }

  void copy_axis(const RunContext& run, const ResizeState& state, const AxisPass& pass,
                 const Shape& shape, const void* from, void* to) const {
    const auto size = static_cast<int64_t>(dtype_size(state.dtype));
    const int64_t inner = shape.product(pass.axis + 1, shape.rank()) * size;
    const auto* x = static_cast<const uint8_t*>(from);
    auto* y = static_cast<uint8_t*>(to);
    each_result(run, pass, shape.product(0, pass.axis), inner, [&](int64_t outer, int64_t j) {
      uint8_t* out = y + (outer * pass.out + j) * inner;
      if (pass.outside[static_cast<size_t>(j)]) {
        fill(state.dtype, inner / size, out);
      } else {
        const int64_t at = outer * pass.in + pass.index[static_cast<size_t>(j)];
        std::memcpy(out, x + at * inner, static_cast<size_t>(inner));
      }
    });
  }

  void fill(DType dtype, int64_t n, uint8_t* out) const {
    if (dtype == DType::f32) {
      std::fill_n(reinterpret_cast<float*>(out), n, extrapolation_);
    } else if (is_integer8(dtype)) {
      const int32_t low = dtype == DType::u8 ? 0 : -128;
      const float value =
          std::clamp(extrapolation_, static_cast<float>(low), static_cast<float>(low + 255));
      std::memset(out, static_cast<int>(value), static_cast<size_t>(n));
    } else {
      fail(std::string("tf_crop_and_resize does not extrapolate ") + dtype_name(dtype));
    }
  }

  void blend_axis(const RunContext& run, const AxisPass& pass, const Shape& shape, const float* x,
                  float* y) const {
    const int64_t inner = shape.product(pass.axis + 1, shape.rank());
    each_result(run, pass, shape.product(0, pass.axis), inner, [&](int64_t outer, int64_t j) {
      float* out = y + (outer * pass.out + j) * inner;
      if (pass.outside[static_cast<size_t>(j)]) {
        std::fill_n(out, inner, extrapolation_);
        return;
      }
      std::fill_n(out, inner, 0.0f);
      for (int64_t t = 0; t < pass.taps; ++t) {
        const auto at = static_cast<size_t>(j * pass.taps + t);
        const float weight = pass.weight[at];
        if (weight == 0.0f) continue;  // 0 * inf is not what a place without weight adds
        const float* in = x + (outer * pass.in + pass.index[at]) * inner;
        for (int64_t i = 0; i < inner; ++i) out[i] += weight * in[i];
      }
    });
  }

  Mode mode_;
  std::string coordinates_, nearest_, policy_;
  double cubic_a_;
  float extrapolation_;
  bool exclude_outside_, antialias_;
  std::vector<int64_t> axes_;
};

}  // namespace

OpPtr make_resize(const NodeDef& node) { return std::make_unique<Resize>(node); }

}  // namespace pycompress
