#include "engine/conv_hand_over.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

namespace pycompress {
namespace {

constexpr int32_t kRunsWithoutGuess = 31;  // after one that did not hold
constexpr int kMostProbes = 4;
constexpr int64_t kProbePixels = 4;
constexpr int64_t kLeastTimesProbe = 6;  // pixels of the result for each of a probe

size_t aligned(int64_t bytes) { return (static_cast<size_t>(bytes) + 127) / 64 * 64; }

float* floats(uint8_t*& scratch, int64_t count) {
  auto* found = reinterpret_cast<float*>(scratch);
  scratch += aligned(count * static_cast<int64_t>(sizeof(float)));
  return found;
}

struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();

  void add(const KernelSet& set, const float* x, int64_t n) {
    Range found;
    set.quantize->range(x, n, &found.low, &found.high);
    low = std::min(low, found.low);
    high = std::max(high, found.high);
  }
};

// Finishes rows of float32 sums and takes their range.
class RangeFinish final : public RowFinish {
 public:
  RangeFinish(const Layer& layer, const PackedConv& conv) : layer_(layer), conv_(conv) {}

  void finish(float* sums, int64_t, int64_t rows) const override {
    const int64_t n = conv_.filters;
    if (layer_.finishes()) layer_.finish_rows(*conv_.set, sums, rows, n, n, nullptr, 0, sums, n);
    Range found;
    found.add(*conv_.set, sums, rows * n);
    const std::lock_guard<std::mutex> lock(mutex_);
    range_.low = std::min(range_.low, found.low);
    range_.high = std::max(range_.high, found.high);
  }
  const Range& range() const { return range_; }

 private:
  const Layer& layer_;
  const PackedConv& conv_;
  mutable std::mutex mutex_;
  mutable Range range_;
};

// Quantizes float32 values of a known range.
void hand_over(const KernelSet& set, ThreadPool* pool, const float* values, int64_t n,
               const Range& range, const HandedOver& to) {
  const DynamicScale found = scale_of_range(range.low, range.high);
  parallel_ranges(pool, n, 0.5, [&](int64_t begin, int64_t end) {
    set.quantize->to_u8(values + begin, end - begin, &found.scale, &found.zero, 0, to.q + begin);
  });
  *to.scale = found.scale;
  *to.zero = found.zero;
}

bool same(const DynamicScale& a, const DynamicScale& b) {
  return a.scale == b.scale && a.zero == b.zero;
}

}  // namespace

ConvHandOver::Span ConvHandOver::Span::inside(const Placement& place, int axis) {
  const Window& w = place.window;
  const auto is_inside = [&](int64_t at) {
    const int64_t start = at * w.stride[axis] - place.pad[axis];
    return start >= 0 && start + w.extent(axis) <= place.in[axis];
  };
  Span span;
  while (span.begin < place.out[axis] && !is_inside(span.begin)) ++span.begin;
  span.end = span.begin;
  while (span.end < place.out[axis] && is_inside(span.end)) ++span.end;
  return span;
}

ConvHandOver::ConvHandOver(const ConvLayer& layer, bool keeps) : keeps_(keeps) {
  const Activation& f = layer.layer.activation;
  const bool clamp = f.clamps() && std::isfinite(f.lo()) && std::isfinite(f.hi());
  ranged_ =
      layer.layer.mode == LayerMode::f32 && layer.conv.path == ConvPath::depthwise && f.clamps();
  if (ranged_) {
    guesses_ = clamp && !keeps && !layer.layer.has_residual && f.lo() == 0.0f && f.hi() > 0.0f;
    if (guesses_) guess_ = scale_of_range(f.lo(), f.hi());
    return;
  }
  if (keeps || !clamp || layer.layer.mode == LayerMode::f32 || layer.layer.has_residual) return;
  guess_ = scale_of_range(f.lo(), f.hi());
  for (const float b : layer.layer.bias) bias_.push_back(in_units_of(guess_.scale, b));
  place_probe(layer);
}

void ConvHandOver::place_probe(const ConvLayer& layer) {
  const Placement& place = layer.plan.placement();
  const Window& w = place.window;
  if (w.kernel[0] != 1 || place.in[0] != 1 || place.pixels() == 0) return;
  Placement probe = place;
  probe.batch = 1;
  // Where a window's rows are read as they lie, a few pixels may be computed alone.
  const bool apart = layer.conv.path == ConvPath::depthwise || w.extent(1) == 1;
  whole_rows_ = !apart;
  rows_ = Span::inside(place, 1);
  columns_ = apart ? Span::inside(place, 2) : Span{0, place.out[2]};
  if (rows_.empty() || columns_.empty()) return;
  probe.in[1] = w.extent(1);
  probe.out[1] = 1;
  probe.pad[1] = probe.pad_end[1] = 0;
  if (apart) {
    probe.out[2] = std::min(kProbePixels, columns_.end - columns_.begin);
    probe.pad[2] = probe.pad_end[2] = 0;
    if (w.extent(1) == 1) probe.in[2] = (probe.out[2] - 1) * w.stride[2] + w.extent(2);
  }
  if (kLeastTimesProbe * probe.pixels() > place.pixels()) return;
  probe_ = ConvPlan(layer.conv, probe);
  guesses_ = true;
}

size_t ConvHandOver::scratch_bytes(const ConvLayer& layer, int threads) const {
  const int64_t filters = layer.conv.filters;
  const int64_t values = layer.plan.placement().pixels() * filters;
  size_t bytes = layer.scratch_bytes(threads);
  if (!keeps_) bytes += aligned(values * 4);
  if (guesses_ && !ranged_) bytes += aligned(filters * 4) + probe_.scratch_bytes(threads, false);
  return bytes;
}

size_t ConvHandOver::persistent_bytes(const ConvLayer& layer) const {
  const auto own = static_cast<int64_t>(layer.plan.persistent_bytes());
  if (!guesses_) return static_cast<size_t>(own);
  return aligned(own) + aligned(sizeof(int32_t)) + (ranged_ ? 0 : probe_.persistent_bytes());
}

void ConvHandOver::run(const ConvLayer& layer, const ConvInput& x, const void* residual,
                       const HandedOver& to, uint8_t* scratch, uint8_t* persistent,
                       ThreadPool* pool) const {
  const PackedConv& conv = layer.conv;
  const int64_t values = layer.plan.placement().pixels() * conv.filters;
  float* const sums = keeps_ ? to.y : floats(scratch, values);
  float* const unit_scale = guesses_ && !ranged_ ? floats(scratch, conv.filters) : nullptr;
  ConvLayer::Started started = layer.start(x, residual, scratch, pool);
  started.run.persistent = persistent;

  auto* const wait = reinterpret_cast<int32_t*>(
      persistent + aligned(static_cast<int64_t>(layer.plan.persistent_bytes())));
  if (ranged_) return run_ranged(layer, started.run, started.epilogue, sums, to, wait);
  if (guesses_) {
    if (*wait == 0) {
      if (guess_holds(layer, started, to.q, sums, unit_scale, reinterpret_cast<uint8_t*>(wait))) {
        *to.scale = guess_.scale;
        *to.zero = guess_.zero;
        return;
      }
      *wait = kRunsWithoutGuess;
    } else {
      --*wait;
    }
  }

  const RangeFinish finish(layer.layer, conv);
  started.run.epilogue = &started.epilogue;
  started.run.y = sums;
  started.run.finish = &finish;
  layer.plan.run(started.run);
  hand_over(*conv.set, pool, sums, values, finish.range(), to);
}

// Of a depthwise convolution in float32.
void ConvHandOver::run_ranged(const ConvLayer& layer, ConvRun run, const Epilogue& epilogue,
                              float* sums, const HandedOver& to, int32_t* wait) const {
  Range range;
  float ends[2];
  const auto compute = [&](const Epilogue& with, void* y) {
    ends[0] = range.low;
    ends[1] = range.high;
    run.epilogue = &with;
    run.y = y;
    run.range = ends;
    layer.plan.run(run);
  };
  if (guesses_ && *wait == 0) {
    Epilogue bytes = epilogue;
    bytes.out = Out::u8;
    run.unit = guess_.scale;
    compute(bytes, to.q);
    if (ends[1] == layer.layer.activation.hi()) {
      *to.scale = guess_.scale;
      *to.zero = guess_.zero;
      return;
    }
    *wait = kRunsWithoutGuess;
  } else if (guesses_) {
    --*wait;
  }
  compute(epilogue, sums);
  range = {ends[0], ends[1]};
  hand_over(*layer.conv.set, run.pool, sums, layer.plan.placement().pixels() * layer.conv.filters,
            range, to);
}

bool ConvHandOver::guess_holds(const ConvLayer& layer, const ConvLayer::Started& started,
                               uint8_t* q, float* sums, float* unit_scale,
                               uint8_t* persistent) const {
  const Activation& f = layer.layer.activation;
  const PackedConv& conv = layer.conv;
  const KernelSet& set = *conv.set;
  Epilogue bytes = started.epilogue;
  for (int64_t i = 0; i < conv.filters; ++i) {
    unit_scale[i] =
        in_units_of(guess_.scale, started.x_scale, layer.layer.w_scale[static_cast<size_t>(i)]);
  }
  bytes.out = Out::u8;
  bytes.scale = unit_scale;
  bytes.bias = bias_.empty() ? nullptr : bias_.data();
  bytes.lo = in_units_of(guess_.scale, f.lo());
  bytes.hi = in_units_of(guess_.scale, f.hi());
  bytes.out_zero = guess_.zero;
  ConvRun run = started.run;
  run.epilogue = &bytes;
  run.y = q;
  layer.plan.run(run);

  // A few of the pixels that may have reached an end, until the ends of the range are found.
  const Placement& place = layer.plan.placement();
  const int64_t filters = conv.filters;
  const int64_t together = probe_.placement().out[2];
  const int64_t pixel_bytes = conv.channels() * static_cast<int64_t>(conv.element_size());
  const int end = f.hi() > 0.0f ? 255 : 0;
  ConvRun probe = started.run;
  probe.epilogue = &started.epilogue;
  probe.y = sums;
  probe.x_slack = false;
  probe.persistent = persistent + aligned(sizeof(int32_t));
  probe.pool = nullptr;
  Range range;
  int probes = 0;
  for (int64_t row = 0; row < place.batch * place.out[1]; ++row) {
    const int64_t y = row % place.out[1];
    if (y < rows_.begin || y >= rows_.end) continue;
    const uint8_t* const values = q + row * place.out[2] * filters;
    for (int64_t x = columns_.begin; x < columns_.end;) {
      const void* found =
          std::memchr(values + x * filters, end, static_cast<size_t>((columns_.end - x) * filters));
      if (found == nullptr) break;
      x = (static_cast<const uint8_t*>(found) - values) / filters;
      const int64_t from = std::min(x, columns_.end - together);
      const int64_t in_row =
          row / place.out[1] * place.in[1] + y * place.window.stride[1] - place.pad[1];
      const int64_t in_column = whole_rows_ ? 0 : from * place.window.stride[2] - place.pad[2];
      probe.x = static_cast<const uint8_t*>(started.run.x) +
                (in_row * place.in[2] + in_column) * pixel_bytes;
      probe_.run(probe);
      range.add(set, sums, together * filters);
      if (same(scale_of_range(range.low, range.high), guess_)) return true;
      if (++probes == kMostProbes) return false;
      x = from + together;
    }
  }
  return false;
}

}  // namespace pycompress
