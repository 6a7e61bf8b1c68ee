// Poolings over NHWC. A window is reduced down its image rows first, whole rows at a time, then
// along the row that remains.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/ops.h"
#include "engine/ops/windows.h"

namespace pycompress {
namespace {

struct PoolState final : OpState {
  Placement place;
  int64_t channels = 0;
};

struct Range {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

// The taps of a window that starts at `start` and fall into [low, high).
Range taps_within(int64_t start, int64_t dilation, int64_t kernel, int64_t low, int64_t high) {
  const int64_t first = start >= low ? 0 : (low - start + dilation - 1) / dilation;
  const int64_t last = start >= high ? 0 : (high - start + dilation - 1) / dilation;
  return {std::min(first, kernel), std::max(std::min(last, kernel), std::min(first, kernel))};
}

// What a pooling is made of: the first value, and folding n values into n others.
struct MaxF32 {
  using Value = float;
  static float first() { return -std::numeric_limits<float>::infinity(); }
  static void fold(const KernelSet& set, const float* x, int64_t n, float* acc) {
    set.pointwise->binary(Binary::max, acc, 1, x, 1, n, acc);
  }
};

struct MaxU8 {
  using Value = uint8_t;
  static uint8_t first() { return 0; }
  static void fold(const KernelSet& set, const uint8_t* x, int64_t n, uint8_t* acc) {
    set.pointwise->max_u8(x, n, acc);
  }
};

struct MaxS8 {
  using Value = int8_t;
  static int8_t first() { return -128; }
  static void fold(const KernelSet& set, const int8_t* x, int64_t n, int8_t* acc) {
    set.pointwise->max_s8(x, n, acc);
  }
};

struct SumF32 {
  using Value = float;
  static float first() { return 0.0f; }
  static void fold(const KernelSet& set, const float* x, int64_t n, float* acc) {
    set.pointwise->binary(Binary::add, acc, 1, x, 1, n, acc);
  }
};

// done(y, pixel, cursor): called for every output pixel's `channels` values.
template <typename Kind, typename Done>
void pool(const RunContext& run, const Done& done) {
  using Value = typename Kind::Value;
  const auto& state = run.state<PoolState>();
  const Placement& place = state.place;
  const Window& w = place.window;
  const int64_t channels = state.channels;
  const int64_t row = place.in[2] * channels;
  const int64_t lines = place.batch * place.out[0] * place.out[1];
  const auto* x = run.input(0).as<Value>();
  auto* y = run.output(0).as<Value>();
  const double cost =
      static_cast<double>(row * w.kernel[0] * w.kernel[1] + place.out[2] * channels * w.kernel[2]);
  const int threads = run.pool() == nullptr ? 1 : run.pool()->size();
  const auto line = [&](int64_t index, Value* sums) {
    PixelCursor cursor(place, index * place.out[2]);
    const Range z = taps_within(cursor.start(0), w.dilation[0], w.kernel[0], 0, place.in[0]);
    const Range r = taps_within(cursor.start(1), w.dilation[1], w.kernel[1], 0, place.in[1]);
    std::fill(sums, sums + row, Kind::first());
    for (int64_t kz = z.begin; kz < z.end; ++kz) {
      for (int64_t ky = r.begin; ky < r.end; ++ky) {
        const int64_t image_row =
            (cursor.image() * place.in[0] + cursor.start(0) + kz * w.dilation[0]) * place.in[1] +
            cursor.start(1) + ky * w.dilation[1];
        Kind::fold(run.set(), x + image_row * row, row, sums);
      }
    }
    for (int64_t column = 0; column < place.out[2]; ++column, cursor.next()) {
      Value* out = y + (index * place.out[2] + column) * channels;
      const Range k = taps_within(cursor.start(2), w.dilation[2], w.kernel[2], 0, place.in[2]);
      std::fill(out, out + channels, Kind::first());
      for (int64_t kx = k.begin; kx < k.end; ++kx) {
        Kind::fold(run.set(), sums + (cursor.start(2) + kx * w.dilation[2]) * channels, channels,
                   out);
      }
      done(out, z.count() * r.count() * k.count(), cursor);
    }
  };
  // One piece per thread at most: each has its own row of sums.
  const int64_t pieces = std::min<int64_t>(lines, threads);
  const bool alone = static_cast<double>(lines) * cost < 32768;
  parallel_for(alone ? nullptr : run.pool(), pieces, [&](int64_t piece, int) {
    Value* sums = reinterpret_cast<Value*>(run.scratch()) + piece * row;
    for (int64_t i = lines * piece / pieces; i < lines * (piece + 1) / pieces; ++i) line(i, sums);
  });
}

// A window that is larger than the padded input, but by less than a stride, has one place, where it
// ends with the input: the standard does not say so, onnxruntime's division does.
std::unique_ptr<PoolState> plan_pool(PlanContext& plan, Window window) {
  auto state = std::make_unique<PoolState>();
  const Shape& x = plan.shape(0);
  int64_t beyond[3] = {};
  const bool fixed = window.auto_pad == AutoPad::notset || window.auto_pad == AutoPad::valid;
  for (int i = 3 - window.rank; fixed && i < 3 && x.rank() == window.rank + 2; ++i) {
    const int64_t in = x[i - (3 - window.rank) + 1];
    const int64_t room = in + window.pad_begin[i] + window.pad_end[i] - window.extent(i);
    if (room >= 0 || room <= -window.stride[i]) continue;
    beyond[i] = -room;
    window.pad_end[i] -= room;
  }
  state->place = place_on(x, window, -1);
  for (int i = 0; i < 3; ++i) state->place.pad_end[i] -= beyond[i];
  state->channels = x[x.rank() - 1];
  plan.output(0, plan.dtype(0), shape_of(state->place, state->channels));
  plan.scratch(static_cast<size_t>(state->place.in[2] * state->channels * plan.threads()) *
               dtype_size(plan.dtype(0)));
  return state;
}

class MaxPool final : public Op {
 public:
  explicit MaxPool(const NodeDef& node) : window_(read_pool_window(node)) {
    if (node.outputs() > 1) fail("the output Indices is not supported");
    node.ignore({"storage_order"});  // says how Indices count
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const DType dtype = plan.dtype(0);
    if (dtype != DType::f32 && !is_integer8(dtype)) {
      fail(std::string("input 0 (X) must be float32, uint8 or int8, found ") + dtype_name(dtype));
    }
    return plan_pool(plan, window_);
  }

  void run(const RunContext& run) const override {
    const auto nothing = [](auto*, int64_t, const PixelCursor&) {};
    switch (run.input(0).dtype) {
      case DType::u8:
        return pool<MaxU8>(run, nothing);
      case DType::s8:
        return pool<MaxS8>(run, nothing);
      default:
        return pool<MaxF32>(run, nothing);
    }
  }

 private:
  Window window_;
};

class AveragePool final : public Op {
 public:
  explicit AveragePool(const NodeDef& node)
      : window_(read_pool_window(node)), include_pad_(node.flag("count_include_pad", false)) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    return plan_pool(plan, window_);
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<PoolState>();
    const Placement& place = state.place;
    pool<SumF32>(run, [&](float* y, int64_t inside, const PixelCursor& cursor) {
      int64_t count = inside;
      if (include_pad_) {
        count = 1;
        for (int i = 0; i < 3; ++i) {
          count *= taps_within(cursor.start(i), window_.dilation[i], window_.kernel[i],
                               -place.pad[i], place.in[i] + place.pad_end[i])
                       .count();
        }
      }
      const auto n = static_cast<float>(count);
      for (int64_t c = 0; c < state.channels; ++c) y[c] /= n;
    });
  }

 private:
  Window window_;
  bool include_pad_;
};

// ---- over whole images
// ----------------------------------------------------------------------------

struct GlobalState final : OpState {
  int64_t batch, pixels, channels;
};

std::unique_ptr<GlobalState> plan_global(PlanContext& plan, DType out) {
  const Shape& x = plan.shape(0);
  if (x.rank() < 3) fail("input 0 (X) has shape " + x.str() + ", wanted [N, spatial..., C]");
  auto state = std::make_unique<GlobalState>();
  state->batch = x[0];
  state->channels = x[x.rank() - 1];
  state->pixels = x.product(1, x.rank() - 1);
  if (state->pixels == 0) fail("input 0 (X) has shape " + x.str() + ", without a pixel to pool");
  Shape y{x[0]};
  for (int i = 2; i < x.rank(); ++i) y.push(1);
  y.push(state->channels);
  plan.output(0, out, y);
  return state;
}

// body(image, first channel, count): a sum of floats depends on the order of its pixels, so
// images are parted by channels, by whole lines of the cache.
template <typename Body>
void for_parts_of_images(const RunContext& run, int64_t size, const Body& body) {
  const auto& state = run.state<GlobalState>();
  constexpr int64_t kCacheLine = 64;
  const int64_t line = kCacheLine / size;
  const int64_t threads = run.pool() == nullptr ? 1 : run.pool()->size();
  const int64_t wanted = state.batch % threads == 0 ? 1 : threads;
  const int64_t step = round_up(std::max<int64_t>(1, ceil_div(state.channels, wanted)), line);
  const int64_t parts = ceil_div(state.channels, step);
  const double cost =
      static_cast<double>(state.pixels * std::min(step, state.channels) * size) / 4.0;
  parallel_ranges(run.pool(), state.batch * parts, cost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * step;
      body(i / parts, first, std::min(step, state.channels - first));
    }
  });
}

template <typename Kind, typename Fold>
void fold_images(const RunContext& run, typename Kind::Value* y, const Fold& fold) {
  using Value = typename Kind::Value;
  const auto& state = run.state<GlobalState>();
  const auto* x = run.input(0).as<Value>();
  for_parts_of_images(run, int64_t{sizeof(Value)},
                      [&](int64_t image, int64_t first, int64_t count) {
                        auto* out = y + image * state.channels + first;
                        std::fill(out, out + count, Kind::first());
                        const Value* from = x + image * state.pixels * state.channels + first;
                        for (int64_t p = 0; p < state.pixels; ++p, from += state.channels)
                          fold(from, count, out);
                      });
}

class GlobalMaxPool final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const DType dtype = plan.dtype(0);
    if (dtype != DType::f32 && !is_integer8(dtype)) {
      fail(std::string("input 0 (X) must be float32, uint8 or int8, found ") + dtype_name(dtype));
    }
    return plan_global(plan, dtype);
  }

  void run(const RunContext& run) const override {
    switch (run.input(0).dtype) {
      case DType::u8:
        return fold<MaxU8>(run);
      case DType::s8:
        return fold<MaxS8>(run);
      default:
        return fold<MaxF32>(run);
    }
  }

 private:
  template <typename Kind>
  static void fold(const RunContext& run) {
    fold_images<Kind>(
        run, run.output(0).as<typename Kind::Value>(),
        [&](const auto* x, int64_t n, auto* acc) { Kind::fold(run.set(), x, n, acc); });
  }
};

class GlobalAveragePool final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    return plan_global(plan, DType::f32);
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<GlobalState>();
    auto* y = run.output(0).as<float>();
    fold_images<SumF32>(run, y, [&](const float* x, int64_t n, float* acc) {
      run.set().pointwise->reduce_rows(Reduce::sum, x, n, acc);
    });
    const auto n = static_cast<float>(state.pixels);
    for (int64_t i = 0; i < state.batch * state.channels; ++i) y[i] /= n;
  }
};

// Integers in and out, exact up to one rounding: y = saturate(round(sum(x - x_zero) * m) + y_zero)
// with m = x_scale / (pixels * y_scale) rounded to float32.
class IntegerGlobalAveragePool final : public Op {
 public:
  explicit IntegerGlobalAveragePool(const NodeDef& node)
      : x_scale_(node.number("x_scale", 0.0f)),
        y_scale_(node.number("y_scale", 0.0f)),
        x_zero_(node.integer("x_zero", 0)),
        y_zero_(node.integer("y_zero", 0)) {
    if (!(x_scale_ > 0.0f) || !(y_scale_ > 0.0f)) {
      fail("attributes 'x_scale' and 'y_scale' must be given and positive");
    }
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (!is_integer8(plan.dtype(0))) {
      fail(std::string("input 0 (X) must be uint8 or int8, found ") + dtype_name(plan.dtype(0)));
    }
    auto state = plan_global(plan, plan.dtype(0));
    if (state->pixels > std::numeric_limits<int32_t>::max() / 256) {
      fail("a sum over " + str(state->pixels) + " pixels may leave int32");
    }
    plan.scratch(static_cast<size_t>(state->batch * state->channels) * sizeof(int32_t));
    return state;
  }

  void run(const RunContext& run) const override {
    if (run.input(0).dtype == DType::u8) {
      average(run, run.input(0).as<uint8_t>(), run.output(0).as<uint8_t>(),
              run.set().pointwise->sum_u8);
    } else {
      average(run, run.input(0).as<int8_t>(), run.output(0).as<int8_t>(),
              run.set().pointwise->sum_s8);
    }
  }

 private:
  template <typename Byte, typename Sum>
  void average(const RunContext& run, const Byte* x, Byte* y, Sum sum) const {
    const auto& state = run.state<GlobalState>();
    const auto m =
        static_cast<float>(static_cast<double>(x_scale_) /
                           (static_cast<double>(state.pixels) * static_cast<double>(y_scale_)));
    auto* acc = reinterpret_cast<int32_t*>(run.scratch());
    const auto offset = static_cast<int32_t>(state.pixels * x_zero_);
    const float low = static_cast<float>(std::numeric_limits<Byte>::min() - y_zero_);
    const float high = static_cast<float>(std::numeric_limits<Byte>::max() - y_zero_);
    for_parts_of_images(
        run, int64_t{sizeof(Byte)}, [&](int64_t image, int64_t first, int64_t count) {
          int32_t* const sums = acc + image * state.channels + first;
          std::fill(sums, sums + count, 0);
          const Byte* from = x + image * state.pixels * state.channels + first;
          for (int64_t p = 0; p < state.pixels; ++p, from += state.channels) sum(from, count, sums);
          Byte* const to = y + image * state.channels + first;
          for (int64_t c = 0; c < count; ++c) {
            const float v = static_cast<float>(sums[c] - offset) * m;
            to[c] = static_cast<Byte>(
                static_cast<int64_t>(std::nearbyint(std::clamp(v, low, high))) + y_zero_);
          }
        });
  }

  float x_scale_, y_scale_;
  int64_t x_zero_, y_zero_;
};

}  // namespace

OpPtr make_max_pool(const NodeDef& node) { return std::make_unique<MaxPool>(node); }
OpPtr make_average_pool(const NodeDef& node) { return std::make_unique<AveragePool>(node); }
OpPtr make_global_max_pool(const NodeDef&) { return std::make_unique<GlobalMaxPool>(); }
OpPtr make_global_average_pool(const NodeDef&) { return std::make_unique<GlobalAveragePool>(); }
OpPtr make_q_global_average_pool(const NodeDef& node) {
  return std::make_unique<IntegerGlobalAveragePool>(node);
}

}  // namespace pycompress
