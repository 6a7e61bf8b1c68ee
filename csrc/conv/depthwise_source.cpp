// Depthwise convolution in float32 whose input is computed as it goes.
//
//   for each part of the channels, and each image
//     for some lines of the output
//       the rows of the input that they read, and no line before them did   from the source
//       these lines                                                        by the kernel
//
// The rows of a part lie in a ring that stays in a near cache.
#include <algorithm>
#include <limits>
#include <mutex>

#include "conv/conv.h"

namespace pycompress {
namespace {

constexpr int64_t kPartChannels = 64;
constexpr int64_t kStep = 16;               // parts are whole panels of a gemm
constexpr int64_t kRingBytes = 160 * 1024;  // stays in L2, beside the weights of a part
constexpr int64_t kMostRows = 4 * kDepthwiseSteps;

}  // namespace

bool ConvPlan::takes_source() const {
  const Window& w = place_.window;
  return path_ == ConvPath::depthwise && conv_->is_float && !conv_->flat && w.kernel[0] == 1 &&
         place_.in[0] == 1 && place_.out[0] == 1 && w.dilation[1] == 1 && w.kernel[1] <= kStep &&
         w.stride[1] <= kStep;
}

ConvPlan::Parts ConvPlan::source_parts(int threads) const {
  const Window& w = place_.window;
  const int64_t channels = conv_->filters;
  const int64_t most = ceil_div(channels, kStep);
  const int64_t wanted = round_up(ceil_div(channels, kPartChannels), threads);
  Parts parts;
  parts.channels = ceil_div(most, std::min(most, wanted)) * kStep;
  parts.count = ceil_div(channels, parts.channels);
  const int64_t fit =
      std::min(kMostRows, kRingBytes / std::max<int64_t>(1, 4 * place_.in[2] * parts.channels));
  const int64_t lines = fit <= w.kernel[1] ? 1 : (fit - w.kernel[1]) / w.stride[1] + 1;
  parts.lines = ceil_div(place_.out[1], ceil_div(place_.out[1], lines));
  parts.rows = (parts.lines - 1) * w.stride[1] + w.kernel[1];
  return parts;
}

size_t ConvPlan::source_scratch_bytes(int threads) const {
  size_t bytes = 0;
  for (const int count : {1, threads}) {
    const Parts parts = source_parts(count);
    const int64_t ring = round_up(4 * parts.rows * place_.in[2] * parts.channels, 64);
    bytes = std::max(bytes, static_cast<size_t>(count * ring));
  }
  return bytes;
}

void ConvPlan::run_from_source(const ConvRun& run) const {
  const Window& w = place_.window;
  const int64_t height = place_.in[1];
  const int64_t width = place_.in[2];
  const int64_t out_bytes = run.epilogue->out == Out::u8 ? 1 : 4;
  const bool alone = run.pool == nullptr || run.pool->size() == 1;
  const Parts parts = source_parts(alone ? 1 : run.pool->size());
  const int64_t slice = round_up(4 * parts.rows * width * parts.channels, 64);
  const std::vector<int64_t> shift(static_cast<size_t>(parts.rows), 0);
  std::mutex mutex;  // of the range
  const auto work = [&](int64_t task, int worker) {
    const int64_t image = task / parts.count;
    const int64_t channel = task % parts.count * parts.channels;
    auto* const ring = reinterpret_cast<float*>(run.source_scratch + worker * slice);
    const void* rows[kMostRows];
    float range[2] = {std::numeric_limits<float>::infinity(),
                      -std::numeric_limits<float>::infinity()};
    Epilogue epilogue = *run.epilogue;
    if (epilogue.bias != nullptr) epilogue.bias += channel;
    DepthwiseArgs args = depthwise_args(run, epilogue);
    args.channels = std::min(parts.channels, conv_->filters - channel);
    args.w = static_cast<const float*>(args.w) + channel;
    args.rows = rows;
    args.shift = shift.data();
    args.row_count = w.kernel[1];
    if (run.range != nullptr) args.range = range;
    const int64_t row_size = width * args.channels;
    int64_t given = 0;  // rows of the input before it are in the ring, or not needed any more
    for (int64_t y = 0; y < place_.out[1]; y += parts.lines) {
      args.lines = std::min(parts.lines, place_.out[1] - y);
      const int64_t first = y * w.stride[1] - place_.pad[1];
      const int64_t count = (args.lines - 1) * w.stride[1] + w.kernel[1];
      const int64_t end = std::clamp<int64_t>(first + count, 0, height);
      given = std::max(given, std::clamp<int64_t>(first, 0, height));
      while (given < end) {
        const int64_t at = given % parts.rows;
        const int64_t some = std::min(end - given, parts.rows - at);
        run.source->give((image * height + given) * width, some * width, channel, args.channels,
                         ring + at * row_size);
        given += some;
      }
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = first + i;
        const bool inside = row >= 0 && row < height;
        rows[i] = inside ? ring + row % parts.rows * row_size : nullptr;
      }
      args.row = (image * place_.out[1] + y) * place_.out[2];
      args.y = static_cast<uint8_t*>(run.y) + (args.row * conv_->filters + channel) * out_bytes;
      conv_->set->depthwise->f32(args);
    }
    if (run.range == nullptr) return;
    const std::lock_guard<std::mutex> lock(mutex);
    run.range[0] = std::min(run.range[0], range[0]);
    run.range[1] = std::max(run.range[1], range[1]);
  };
  parallel_for(alone ? nullptr : run.pool, place_.batch * parts.count, work);
}

}  // namespace pycompress
