#include "conv/bf16.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "conv/windows.h"

namespace pycompress {
namespace {

// A tap of fewer channels is a short loop: copying the windows costs less.
constexpr int64_t kFewChannels = 16;
constexpr int64_t kTableEntries = 1 << 19;    // 4 MB of pointers; a larger table is made in pieces
constexpr int64_t kGatherBytes = 192 * 1024;  // of copied windows: they stay in L2
constexpr int64_t kSmall = 16 * 1024;         // values that are not worth another thread

struct Room {
  std::vector<uint8_t> image, windows;
  std::vector<const void*> rows;
};

// The image rounded: pixels of `depth` elements each, of which those behind the channels are zeros.
// Behind the last pixel comes one of zeros, for what lies outside.
void round_image(const float* x, const PackedConvBf16& conv, int64_t pixels, int64_t depth,
                 std::vector<uint8_t>* image, ThreadPool* pool) {
  constexpr int64_t kChunk = 64;  // pixels
  const Bf16Kernel& kernel = *conv.panels.kernel;
  const int64_t channels = conv.channels;
  const int64_t pixel = depth * kernel.a_bytes;
  image->resize(static_cast<size_t>((pixels + 1) * pixel));
  uint8_t* to = image->data();
  std::memset(to + pixels * pixel, 0, static_cast<size_t>(pixel));
  parallel_for(pixels * channels < kSmall ? nullptr : pool, (pixels + kChunk - 1) / kChunk,
               [&](int64_t chunk, int) {
                 const int64_t first = chunk * kChunk;
                 const int64_t count = std::min(kChunk, pixels - first);
                 if (depth == channels) {
                   kernel.round(x + first * channels, count * channels, to + first * pixel);
                   return;
                 }
                 for (int64_t i = first; i < first + count; ++i) {
                   kernel.round(x + i * channels, channels, to + i * pixel);
                   std::memset(to + i * pixel + channels * kernel.a_bytes, 0,
                               static_cast<size_t>((depth - channels) * kernel.a_bytes));
                 }
               });
}

void run_gathered(const PackedConvBf16& conv, const WindowSource& source, const Epilogue& epilogue,
                  uint8_t* y, int64_t y_bytes, ThreadPool* pool) {
  const PackedBf16& b = conv.panels;
  const int64_t row_bytes = b.k_padded * b.kernel->a_bytes;
  const int64_t pixels = source.placement.pixels();
  const int64_t mr = b.kernel->mr;
  const int64_t step = std::max(mr, std::min(kGatherBytes / row_bytes, (pixels + 7) / 8) / mr * mr);
  parallel_for(pool, (pixels + step - 1) / step, [&](int64_t block, int) {
    thread_local Room room;
    const int64_t first = block * step;
    const int64_t rows = std::min(step, pixels - first);
    room.windows.resize(static_cast<size_t>(rows * row_bytes));
    room.rows.resize(static_cast<size_t>(rows));
    gather_windows(source, 0, source.pixel, 0, first, rows, row_bytes, room.windows.data());
    for (int64_t r = 0; r < rows; ++r)
      room.rows[static_cast<size_t>(r)] = room.windows.data() + r * row_bytes;
    Epilogue e = epilogue;
    if (e.residual != nullptr)
      e.residual = static_cast<const uint8_t*>(e.residual) + first * e.residual_ld * y_bytes;
    multiply_bf16(room.rows.data(), b, rows, e, y + first * conv.filters * y_bytes, conv.filters,
                  nullptr);
  });
}

}  // namespace

PackedConvBf16 conv_bf16_form(int64_t filters, int64_t channels, const Window& window) {
  PackedConvBf16 form;
  form.window = window;
  form.filters = filters;
  form.channels = channels;
  form.gathered = channels < kFewChannels && window.taps() > 1;
  return form;
}

PackedBf16 pack_filters_bf16(const KernelSet& set, const PackedConvBf16& form, const float* w) {
  const int64_t taps = form.window.taps();
  const int64_t channels = form.channels;
  if (!form.gathered)
    return pack_bf16(set, w, taps, channels, form.filters, 1, taps, channels * taps);
  // Windows have the channels innermost.
  std::vector<float> turned(static_cast<size_t>(taps * channels * form.filters));
  for (int64_t f = 0; f < form.filters; ++f) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t t = 0; t < taps; ++t)
        turned[static_cast<size_t>((f * taps + t) * channels + c)] = *w++;
    }
  }
  return pack_bf16(set, turned.data(), 1, taps * channels, form.filters, 0, 1, taps * channels);
}

void conv_bf16(const float* x, const PackedConvBf16& conv, const Placement& placement,
               const Epilogue& epilogue, void* y, ThreadPool* pool) {
  const PackedBf16& b = conv.panels;
  const int64_t pixels = placement.pixels();
  if (pixels == 0) return;
  thread_local Room kept;
  Room& room = kept;  // of this thread, also for those that help
  const int64_t depth = conv.gathered ? conv.channels : b.k_padded;
  round_image(x, conv, placement.input_pixels(), depth, &room.image, pool);
  const int64_t pixel = depth * b.kernel->a_bytes;
  const WindowSource source{placement, room.image.data(), pixel};
  const int64_t y_bytes = epilogue.out == Out::f32 ? 4 : 1;
  auto* to = static_cast<uint8_t*>(y);
  if (conv.gathered) return run_gathered(conv, source, epilogue, to, y_bytes, pool);
  const void* padding = room.image.data() + placement.input_pixels() * pixel;
  const int64_t taps = placement.window.taps();
  const int64_t mr = taps == 1 ? 1 : b.kernel->mr;  // one tap: the rows one after the other
  const int64_t step = std::max(mr, kTableEntries / taps / mr * mr);
  for (int64_t first = 0; first < pixels; first += step) {
    const int64_t rows = std::min(step, pixels - first);
    room.rows.resize(static_cast<size_t>((rows + mr - 1) / mr * mr * taps));
    point_to_windows(source, padding, first, rows, mr, room.rows.data());
    Epilogue e = epilogue;
    if (e.residual != nullptr)
      e.residual = static_cast<const uint8_t*>(e.residual) + first * e.residual_ld * y_bytes;
    multiply_bf16(room.rows.data(), b, rows, e, to + first * conv.filters * y_bytes, conv.filters,
                  pool);
  }
}

}  // namespace pycompress
