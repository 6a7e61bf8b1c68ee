// The depthwise path: one call of the kernel per output row, no tables.
#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>

#include "conv/conv.h"

namespace pycompress {
namespace {

constexpr int64_t kTaskLines = 8;  // worth a task of their own
// Of the most lines that a thread would have to those that it should: beyond it lines are cut.
constexpr double kUneven = 1.2;
constexpr int64_t kMaxRows = 4 * kDepthwiseSteps;
constexpr int64_t kStackBytes = 128 * 1024;  // of the input rows that lines in one call read
constexpr int64_t kSumBytes = 96 * 1024;     // of the float sums that they leave to be finished

// `channels` values (no more than a block of 16 * lanes) in the order of depthwise_channel(), by
// runs of 4; zeros after them.
template <typename T>
void order_lanes(const T* values, int64_t channels, int64_t lanes, T* to) {
  for (int64_t quad = 0; quad < 4; ++quad) {
    for (int64_t lane = 0; lane < lanes; ++lane, to += 4) {
      const int64_t c = 16 * lane + 4 * quad;
      if (c + 4 <= channels) {
        std::memcpy(to, values + c, 4 * sizeof(T));
      } else {
        for (int64_t i = 0; i < 4; ++i) to[i] = c + i < channels ? values[c + i] : T{};
      }
    }
  }
}

// A copy of per-channel values, whole blocks of them, in the order in which the kernel holds
// channels.
template <typename T>
const T* in_lane_order(const DepthwiseKernels& kernels, const T* values, int64_t channels,
                       uint8_t*& scratch) {
  if (values == nullptr) return nullptr;
  auto* out = reinterpret_cast<T*>(scratch);
  const int64_t block = kernels.block;
  const int64_t padded = (channels + block - 1) / block * block;
  if (kernels.group != 4) {
    std::copy_n(values, channels, out);
    std::fill(out + channels, out + padded, T{});
  } else {
    constexpr int64_t kUsual = 32;  // known to the compiler, whole blocks take a fifth of the time
    int64_t c = 0;
    for (; block == kUsual && c + kUsual <= channels; c += kUsual)
      order_lanes(values + c, kUsual, kUsual / 16, out + c);
    for (; c < channels; c += block)
      order_lanes(values + c, std::min(block, channels - c), block / 16, out + c);
  }
  scratch += (static_cast<size_t>(padded) * sizeof(T) + 63) / 64 * 64;
  return out;
}

}  // namespace

// What all calls of a run have in common; `epilogue` in the order of lanes.
DepthwiseArgs ConvPlan::depthwise_args(const ConvRun& run, const Epilogue& epilogue) const {
  const Window& w = place_.window;
  DepthwiseArgs args;
  args.kernel = conv_->flat ? 1 : w.kernel[2];
  args.dilation = conv_->flat ? 1 : w.dilation[2];
  args.stride = w.stride[2];
  args.step = w.stride[1];
  args.first = -place_.pad[2];
  args.width = place_.in[2];
  args.padding = run.persistent;
  args.pixels = place_.out[2];
  args.channels = conv_->filters;
  args.w = conv_->depthwise.data();
  args.ldy = conv_->filters;
  args.epilogue = &epilogue;
  args.w_step = (conv_->filters + 15) / 16 * 16;
  args.unit = run.unit;
  return args;
}

// How many lines of a plane may go into one call: their windows are a step of image rows apart.
// In integers what follows the sums should find them in cache.
int64_t ConvPlan::stacked_lines(bool finishing, bool sums_in_scratch) const {
  const Window& w = place_.window;
  const bool may = conv_->is_float ? !sums_in_scratch : conv_->set->depthwise->stacks;
  if (!may || conv_->flat || w.kernel[0] != 1 || w.dilation[1] != 1) return 1;
  const auto pixel_bytes = conv_->filters * static_cast<int64_t>(conv_->element_size());
  const int64_t row_bytes = place_.in[2] * pixel_bytes * w.stride[1];
  const int64_t rows = std::min(kStackBytes / std::max<int64_t>(1, row_bytes),
                                (kMaxRows - w.kernel[1]) / w.stride[1]);
  const int64_t most = std::max<int64_t>(2, rows / 2 * 2);
  if (conv_->is_float || !finishing) return most;
  const int64_t kept = kSumBytes / std::max<int64_t>(1, place_.out[2] * conv_->filters * 4);
  return kept < 2 ? 1 : std::min(most, kept / 2 * 2);
}

void ConvPlan::run_depthwise(const ConvRun& run) const {
  const DepthwiseKernels& kernels = *conv_->set->depthwise;
  const Window& w = place_.window;
  const int64_t channels = conv_->filters;
  const auto element = static_cast<int64_t>(conv_->element_size());
  const int64_t pixel_bytes = channels * element;
  std::memset(run.persistent, conv_->is_float ? 0 : run.x_zero, static_cast<size_t>(pixel_bytes));
  if (run.source != nullptr) return run_from_source(run);

  Epilogue epilogue = *run.epilogue;
  uint8_t* scratch = run.scratch;
  if (!conv_->is_float) {
    epilogue.init = in_lane_order(kernels, epilogue.init, channels, scratch);
    epilogue.scale = in_lane_order(kernels, epilogue.scale, channels, scratch);
    epilogue.bias = in_lane_order(kernels, epilogue.bias, channels, scratch);
  }
  const int64_t out_bytes = epilogue.out == Out::u8 || epilogue.out == Out::s8 ? 1 : 4;
  const int64_t lines = place_.batch * place_.out[0] * place_.out[1];
  const int64_t line_taps = w.kernel[0] * w.kernel[1];
  auto* call = conv_->is_float ? kernels.f32 : run.x_signed ? kernels.s8 : kernels.u8;
  const int64_t stack = stacked_lines(run.finish != nullptr, run.sums_in_scratch);
  const bool stacks = stack > 1;
  const auto sums_bytes = static_cast<size_t>(stack * place_.out[2] * channels * 4 + 63) / 64 * 64;

  const DepthwiseArgs all = depthwise_args(run, epilogue);
  std::mutex mutex;  // of the range
  // Pixels from..to - 1 of a line, or of `together` lines all of them.
  const auto line = [&](int64_t index, int64_t together, int64_t from, int64_t to, int worker) {
    const PixelCursor cursor(place_, index * place_.out[2]);
    const void* rows[kMaxRows];
    int64_t shift[kMaxRows];
    const int64_t repeats = conv_->flat ? w.kernel[2] : 1;
    int64_t count = 0;
    for (int64_t t = 0; t < line_taps + (together - 1) * w.stride[1]; ++t) {
      const int64_t plane = stacks ? 0 : t / w.kernel[1];
      const int64_t z = cursor.start(0) + plane * w.dilation[0];
      const int64_t y = cursor.start(1) + (t - plane * w.kernel[1]) * w.dilation[1];
      const bool inside = z >= 0 && z < place_.in[0] && y >= 0 && y < place_.in[1];
      const int64_t at = ((cursor.image() * place_.in[0] + z) * place_.in[1] + y) * place_.in[2];
      for (int64_t k = 0; k < repeats; ++k, ++count) {
        rows[count] = inside ? static_cast<const uint8_t*>(run.x) + at * pixel_bytes : nullptr;
        shift[count] = k * w.dilation[2];
      }
    }
    DepthwiseArgs args = all;
    float range[2] = {std::numeric_limits<float>::infinity(),
                      -std::numeric_limits<float>::infinity()};
    args.rows = rows;
    args.shift = shift;
    args.row_count = count - (together - 1) * w.stride[1];
    args.lines = together;
    args.first += from * w.stride[2];
    args.pixels = to - from;
    args.row = index * place_.out[2] + from;
    args.y = run.sums_in_scratch ? scratch + static_cast<size_t>(worker) * sums_bytes
                                 : static_cast<uint8_t*>(run.y) + args.row * channels * out_bytes;
    if (run.range != nullptr) args.range = range;
    call(args);
    if (run.finish != nullptr) {
      run.finish->finish(static_cast<float*>(args.y), args.row, together * args.pixels);
    }
    if (run.range != nullptr) {
      const std::lock_guard<std::mutex> lock(mutex);
      run.range[0] = std::min(run.range[0], range[0]);
      run.range[1] = std::max(run.range[1], range[1]);
    }
  };
  // Lines begin..end - 1, as many together as lie in one plane.
  const int64_t width = place_.out[2];
  const auto run_lines = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end;) {
      const int64_t together = std::min({stack, end - i, place_.out[1] - i % place_.out[1]});
      line(i, together, 0, width, worker);
      i += together;
    }
  };
  const auto run_pixels = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t at = begin; at < end;) {
      const int64_t index = at / width;
      const int64_t to = std::min(width, end - index * width);
      line(index, 1, at % width, to, worker);
      at = index * width + to;
    }
  };
  if (sequential(run)) {
    run_lines(0, lines, 0);
    return;
  }
  // Several lines a task: a hand-over costs as much as a short line, and lines in one call share
  // what they read.
  const int64_t threads = run.pool->size();
  if (static_cast<double>(ceil_div(lines, threads) * threads) >
      kUneven * static_cast<double>(lines)) {
    const int64_t pixels = lines * width;
    const int64_t parts = std::min(pixels, threads);
    parallel_for(run.pool, parts, [&](int64_t part, int worker) {
      run_pixels(pixels * part / parts, pixels * (part + 1) / parts, worker);
    });
    return;
  }
  const int64_t tasks =
      std::min(lines, threads * std::clamp<int64_t>(lines / threads / kTaskLines, 1, 8));
  parallel_for(run.pool, tasks, [&](int64_t task, int worker) {
    run_lines(lines * task / tasks, lines * (task + 1) / tasks, worker);
  });
}

}  // namespace pycompress
