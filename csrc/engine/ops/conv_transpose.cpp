// Transposed convolution over NHWC, in float32: one gemm gives every input pixel's contribution to
// every tap, and each output pixel gathers those that reach it, so that threads never write to the
// same place. Where taps do not overlap (stride = kernel), a line of the output is a product
// already: a line of the input times the taps of one row of the kernel.
#include <algorithm>
#include <limits>

#include "conv/geometry.h"
#include "engine/fused.h"
#include "engine/ops/ops.h"
#include "engine/ops/windows.h"

namespace pycompress {
namespace {

// A tap that reaches an output coordinate, and the input coordinate that it comes from.
struct Reach {
  int64_t tap, from;
};

struct TransposeState final : OpState {
  Placement place;  // of the convolution that this one is the transpose of: its input is our output
  std::vector<std::vector<Reach>> reach[3];  // by output coordinate
  LayerEpilogue ready;
  std::vector<float> line_bias;  // for each tap of a row of the kernel
};

class ConvTranspose final : public Op {
 public:
  explicit ConvTranspose(const NodeDef& node)
      : groups_(node.integer("group", 1)), layer_(node, 1, filters(node, groups_)) {
    const Tensor& w = node.need_weights(1, "w");
    window_ = read_conv_window(node, w.shape);
    in_channels_ = w.shape[0];
    filters_ = w.shape[1];
    if (layer_.mode != LayerMode::f32 || layer_.has_residual || layer_.integer_out) {
      fail(
          "a transposed convolution runs in float32 without residual: x_scale, y_scale, dynamic "
          "and "
          "input 3 do not apply");
    }
    output_padding_ = per_dimension(node, "output_padding", 0);
    output_shape_ = per_dimension(node, "output_shape", -1);
    apart_ = taps_are_apart();
    pack(node, w);
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    if (x.rank() != window_.rank + 2 || x[x.rank() - 1] != in_channels_) {
      fail("input 0 (x) has shape " + x.str() + ", wanted [N, " + str(window_.rank) +
           " spatial dimensions, " + str(in_channels_) + "]");
    }
    auto state = std::make_unique<TransposeState>();
    state->place = transposed(x);
    for (int axis = 0; axis < 3; ++axis) state->reach[axis] = reaches(state->place, axis);
    Shape y{x[0]};
    for (int i = 3 - window_.rank; i < 3; ++i) y.push(state->place.in[i]);
    y.push(layer_.channels);
    layer_.check_inputs(plan, y);
    state->ready = LayerEpilogue(layer_, {}, nullptr);
    plan.output(0, DType::f32, y);
    for (int64_t tap = 0; tap < window_.kernel[2]; ++tap)
      state->line_bias.insert(state->line_bias.end(), layer_.bias.begin(), layer_.bias.end());
    if (apart_) return state;
    plan.scratch(static_cast<size_t>(image_pixels(state->place) * window_.taps() * filters_) *
                 sizeof(float));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<TransposeState>();
    const Placement& place = state.place;
    if (apart_) return write_lines(run, state);
    const int64_t pixels = image_pixels(place);
    auto* sums = reinterpret_cast<float*>(run.scratch());
    const int64_t group_in = in_channels_ / groups_;
    for (int64_t n = 0; n < place.batch; ++n) {
      for (int64_t g = 0; g < groups_; ++g) {
        const PackedB& w = panels_[static_cast<size_t>(g)];
        MatrixA a;
        a.data = run.input(0).as<float>() + n * pixels * in_channels_ + g * group_in;
        a.lda = in_channels_;
        a.readable_tail = run.input(0).slack;
        Epilogue none;
        none.out = Out::f32;
        if (pixels > 0) gemm(a, w, pixels, none, sums, w.n, run.pool());
        collect(run, state, sums, n, g);
      }
    }
  }

 private:
  static int64_t filters(const NodeDef& node, int64_t groups) {
    const Tensor& w = node.need_weights(1, "w");
    if (groups < 1 || w.shape.rank() < 3 || w.shape[0] % groups != 0) {
      fail("input 1 (w) has shape " + w.shape.str() +
           ", whose first dimension is no multiple of group " + str(groups));
    }
    return w.shape[1] * groups;
  }

  // Whether every output pixel belongs to one tap, and a line's product fills a vector.
  bool taps_are_apart() const {
    bool apart = groups_ == 1 && window_.kernel[2] * filters_ >= 16;
    for (size_t i = 0; i < 3; ++i) {
      apart = apart && window_.stride[i] == window_.kernel[i] && window_.dilation[i] == 1;
      apart = apart && window_.pad_begin[i] == 0 && window_.pad_end[i] == 0;
      apart = apart && output_padding_[i] == 0 && output_shape_[i] < 0;
    }
    return apart && (window_.auto_pad == AutoPad::notset || window_.auto_pad == AutoPad::valid);
  }

  void write_lines(const RunContext& run, const TransposeState& state) const {
    const Placement& place = state.place;
    const Tensor& x = run.input(0);
    const int64_t lines = place.batch * place.in[0] * place.in[1];
    const int64_t width = place.out[2];  // of the input
    const int64_t columns = window_.kernel[2] * filters_;
    Epilogue epilogue = state.ready.epilogue(nullptr, 0);
    if (epilogue.bias != nullptr) epilogue.bias = state.line_bias.data();
    const auto write = [&](int64_t line, ThreadPool* pool) {
      const int64_t outer = line / place.in[1];
      const int64_t inner = line % place.in[1];
      const int64_t from = outer / window_.kernel[0] * place.out[1] + inner / window_.kernel[1];
      const int64_t part =
          outer % window_.kernel[0] * window_.kernel[1] + inner % window_.kernel[1];
      MatrixA a;
      a.data = x.as<float>() + from * width * in_channels_;
      a.lda = in_channels_;
      a.readable_tail = x.slack;
      float* out = run.output(0).as<float>() + line * width * columns;
      gemm(a, panels_[static_cast<size_t>(part)], width, epilogue, out, columns, pool);
      if (layer_.finishes()) {
        const int64_t n = width * columns;
        layer_.finish_rows(run.set(), out, 1, n, n, nullptr, 0, out, n);
      }
    };
    const int threads = run.pool() == nullptr ? 1 : run.pool()->size();
    if (lines < threads) {
      for (int64_t line = 0; line < lines; ++line) write(line, run.pool());
      return;
    }
    parallel_ranges(run.pool(), lines, static_cast<double>(width * in_channels_ * columns) / 8.0,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t line = begin; line < end; ++line) write(line, nullptr);
                    });
  }

  std::vector<int64_t> per_dimension(const NodeDef& node, const char* name,
                                     int64_t otherwise) const {
    std::vector<int64_t> values = node.integers(name);
    if (values.empty()) values.assign(static_cast<size_t>(window_.rank), otherwise);
    if (static_cast<int>(values.size()) != window_.rank) {
      fail("attribute '" + std::string(name) + "' must have " + str(window_.rank) +
           " values, found " + str(static_cast<int64_t>(values.size())));
    }
    values.insert(values.begin(), static_cast<size_t>(3 - window_.rank), otherwise);
    return values;
  }

  static int64_t image_pixels(const Placement& place) {
    return place.out[0] * place.out[1] * place.out[2];
  }

  void pack(const NodeDef& node, const Tensor& w) {
    const int64_t taps = window_.taps();
    const int64_t group_in = in_channels_ / groups_;
    std::vector<float> values;
    if (!node.store().restores()) values = layer_.float_weights(w, 1);
    // Columns first..first + count - 1 of the taps' and filters' ones.
    const auto pack_part = [&](int64_t g, int64_t first, int64_t count) {
      std::vector<float> ordered(
          static_cast<size_t>(group_in * taps * filters_));  // [in][tap][filter]
      for (int64_t i = 0; i < group_in; ++i) {
        const float* from = values.data() + (g * group_in + i) * filters_ * taps;
        float* to = ordered.data() + i * taps * filters_;
        for (int64_t f = 0; f < filters_; ++f) {
          for (int64_t t = 0; t < taps; ++t) to[t * filters_ + f] = from[f * taps + t];
        }
      }
      return pack_b_f32(node.set(), ordered.data() + first, 1, group_in, count, 0, taps * filters_,
                        1);
    };
    const int64_t parts = apart_ ? window_.kernel[0] * window_.kernel[1] : 1;
    const int64_t count = taps * filters_ / parts;
    for (int64_t g = 0; g < groups_; ++g) {
      for (int64_t part = 0; part < parts; ++part) {
        panels_.push_back(node.store().matrix(node.set(), true, 1, group_in, count,
                                              [&] { return pack_part(g, part * count, count); }));
      }
    }
  }

  // in, pad: of our output; out: our input.
  Placement transposed(const Shape& x) const {
    Placement place;
    place.window = window_;
    place.batch = x[0];
    for (int i = 3 - window_.rank; i < 3; ++i) {
      const auto at = static_cast<size_t>(i);
      const int64_t in = x[i - (3 - window_.rank) + 1];
      const int64_t full = window_.stride[i] * (in - 1) + output_padding_[at] + window_.extent(i);
      const bool same =
          window_.auto_pad == AutoPad::same_upper || window_.auto_pad == AutoPad::same_lower;
      int64_t out = full - window_.pad_begin[i] - window_.pad_end[i];
      place.pad[i] = window_.pad_begin[i];
      if (output_shape_[at] >= 0 || same) {
        out = output_shape_[at] >= 0 ? output_shape_[at] : in * window_.stride[i];
        const int64_t total = std::max<int64_t>(full - out, 0);
        place.pad[i] = window_.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
      }
      place.in[i] = out;
      place.out[i] = in;
      if (out < 1)
        fail("the output's spatial dimension " + str(i - 3 + window_.rank) + " would be " +
             str(out));
    }
    return place;
  }

  // Which taps reach each output coordinate of one axis, and from which input coordinate.
  std::vector<std::vector<Reach>> reaches(const Placement& place, int axis) const {
    std::vector<std::vector<Reach>> all(static_cast<size_t>(place.in[axis]));
    for (int64_t from = 0; from < place.out[axis]; ++from) {
      for (int64_t tap = 0; tap < window_.kernel[axis]; ++tap) {
        const int64_t at =
            from * window_.stride[axis] - place.pad[axis] + tap * window_.dilation[axis];
        if (at >= 0 && at < place.in[axis]) all[static_cast<size_t>(at)].push_back({tap, from});
      }
    }
    return all;
  }

  // Output pixels of image n, filters of group g: their bias, what reaches them, the activation.
  void collect(const RunContext& run, const TransposeState& state, const float* sums, int64_t n,
               int64_t g) const {
    const Placement& place = state.place;
    const int64_t lines = place.in[0] * place.in[1];
    const int64_t width = place.in[2];
    const Epilogue epilogue = state.ready.epilogue(nullptr, 0);
    auto* y = run.output(0).as<float>() + n * lines * width * layer_.channels + g * filters_;
    const float* bias = epilogue.bias == nullptr ? nullptr : epilogue.bias + g * filters_;
    const double cost = static_cast<double>(width * filters_ * window_.taps());
    parallel_ranges(run.pool(), lines, cost, [&](int64_t begin, int64_t end) {
      std::vector<const float*> rows;
      for (int64_t line = begin; line < end; ++line) {
        rows_reaching(state, sums, line, &rows);
        float* out = y + line * width * layer_.channels;
        if (filters_ == 1) {
          add_numbers(state, rows, bias == nullptr ? 0.0f : *bias, out);
        } else {
          add_pixels(state, rows, bias, out);
        }
        finish_line(run, epilogue, width, out);
      }
    });
  }

  // For each tap in the two outer axes that reaches a line: its sums in the first pixel of the
  // input line that it comes from.
  void rows_reaching(const TransposeState& state, const float* sums, int64_t line,
                     std::vector<const float*>* rows) const {
    const Placement& place = state.place;
    rows->clear();
    for (const Reach& a : state.reach[0][static_cast<size_t>(line / place.in[1])]) {
      for (const Reach& b : state.reach[1][static_cast<size_t>(line % place.in[1])]) {
        const int64_t pixel = (a.from * place.out[1] + b.from) * place.out[2];
        const int64_t tap = (a.tap * window_.kernel[1] + b.tap) * window_.kernel[2];
        rows->push_back(sums + (pixel * window_.taps() + tap) * filters_);
      }
    }
  }

  void add_numbers(const TransposeState& state, const std::vector<const float*>& rows, float bias,
                   float* out) const {
    const int64_t taps = window_.taps();
    const int64_t step = layer_.channels;
    for (const std::vector<Reach>& column : state.reach[2]) {
      float sum = bias;
      for (const float* row : rows) {
        for (const Reach& c : column) sum += row[c.from * taps + c.tap];
      }
      *out = sum;
      out += step;
    }
  }

  void add_pixels(const TransposeState& state, const std::vector<const float*>& rows,
                  const float* bias, float* out) const {
    const int64_t taps = window_.taps();
    for (const std::vector<Reach>& column : state.reach[2]) {
      const float* before = bias;  // what stands there already
      for (const float* row : rows) {
        for (const Reach& c : column) {
          const float* part = row + (c.from * taps + c.tap) * filters_;
          if (before == nullptr) {
            std::copy(part, part + filters_, out);
          } else {
            for (int64_t f = 0; f < filters_; ++f) out[f] = before[f] + part[f];
          }
          before = out;
        }
      }
      if (before == nullptr) {
        std::fill(out, out + filters_, 0.0f);
      } else if (before != out) {
        std::copy(before, before + filters_, out);
      }
      out += layer_.channels;
    }
  }

  void finish_line(const RunContext& run, const Epilogue& epilogue, int64_t width,
                   float* out) const {
    const bool together = groups_ == 1;  // the pixels' filters lie side by side
    const int64_t pixels = together ? 1 : width;
    const int64_t run_length = together ? width * filters_ : filters_;
    const float inf = std::numeric_limits<float>::infinity();
    for (int64_t i = 0; i < pixels; ++i, out += layer_.channels) {
      if (epilogue.lo != -inf || epilogue.hi != inf) {
        for (int64_t f = 0; f < run_length; ++f) {
          const float low = epilogue.lo > out[f] ? epilogue.lo : out[f];
          out[f] = epilogue.hi < low ? epilogue.hi : low;
        }
      }
      if (layer_.finishes())
        layer_.finish_rows(run.set(), out, 1, run_length, run_length, nullptr, 0, out, run_length);
    }
  }

  int64_t groups_;
  Layer layer_;
  Window window_;
  int64_t in_channels_ = 0;
  int64_t filters_ = 0;  // of one group
  std::vector<int64_t> output_padding_, output_shape_;
  bool apart_ = false;
  std::vector<PackedB> panels_;  // of each group; or of each row of the kernel, when apart_
};

}  // namespace

OpPtr make_conv_transpose(const NodeDef& node) { return std::make_unique<ConvTranspose>(node); }

}  // namespace pycompress
