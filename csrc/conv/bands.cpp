#include "conv/bands.h"

#include <algorithm>
#include <cstring>

#include "gemm/gemm.h"

namespace pycompress {
namespace {

constexpr int64_t kBandBytes = 128 * 1024;  // a band stays in L2, next to the weights
constexpr int64_t kLine = 64;
constexpr int64_t kTail = 64;     // what a tile may read behind the last run
constexpr int64_t kTallest = 16;  // no tile has more rows

bool inside(int64_t at, int64_t size) {
  return static_cast<uint64_t>(at) < static_cast<uint64_t>(size);
}

// Input columns that `columns` of the output read, rounded up to whole rows of the gemm.
int64_t width(const Placement& place, int64_t columns, int64_t abreast) {
  const int64_t last = round_up(columns, abreast) - abreast;
  return last * place.window.stride[2] + run_taps(place.window, abreast);
}

}  // namespace

BandLayout::BandLayout(const Placement& place, int64_t pixel_bytes, int64_t side_by_side,
                       int64_t largest)
    : pixel(pixel_bytes), abreast(side_by_side) {
  const Window& w = place.window;
  const int64_t lines = w.kernel[0] * w.extent(1);
  // One row of the output, or a part of it where its lines would fill the cache.
  const int64_t room = kBandBytes / std::max<int64_t>(1, lines * pixel * w.stride[2]);
  columns = std::min(place.out[2], std::max(std::min(room, largest) / abreast, kTallest) * abreast);
  pitch = round_up(width(place, columns, abreast) * pixel, kLine);
  // Lines of a power of two would compete for the same places of the cache.
  if (pitch % 1024 == 0) pitch += kLine;
  rows = 1;
  if (columns < place.out[2]) return;
  const int64_t step = w.kernel[0] * w.stride[1] * pitch;
  rows += std::max<int64_t>(0, (kBandBytes - lines * pitch) / std::max<int64_t>(1, step));
  rows = std::clamp<int64_t>(std::min(rows, largest / columns), 1, place.out[1]);
  rows = ceil_div(place.out[1], ceil_div(place.out[1], rows));
}

BandLayout BandLayout::split(const Placement& place, int64_t wanted) const {
  BandLayout finer = *this;
  const int64_t others = count(place) / ceil_div(place.out[1], rows);
  const int64_t parts = std::min(place.out[1], ceil_div(wanted, std::max<int64_t>(1, others)));
  finer.rows = std::min(rows, ceil_div(place.out[1], std::max<int64_t>(1, parts)));
  return finer;
}

int64_t BandLayout::count(const Placement& place) const {
  return place.batch * place.out[0] * ceil_div(place.out[1], rows) *
         ceil_div(place.out[2], columns);
}

Band BandLayout::at(const Placement& place, int64_t index) const {
  const int64_t across = ceil_div(place.out[2], columns);
  const int64_t down = ceil_div(place.out[1], rows);
  Band band;
  band.x = index % across * columns;
  index /= across;
  band.y = index % down * rows;
  index /= down;
  band.plane = index % place.out[0];
  band.image = index / place.out[0];
  band.rows = std::min(rows, place.out[1] - band.y);
  band.columns = std::min(columns, place.out[2] - band.x);
  return band;
}

int64_t BandLayout::span(const Placement& place) const {
  return (rows - 1) * place.window.stride[1] + place.window.extent(1);
}

size_t BandLayout::bytes(const Placement& place) const {
  return static_cast<size_t>(round_up(place.window.kernel[0] * span(place) * pitch + kTail, kLine));
}

int64_t BandLayout::pointers(const Placement& place) const {
  const int64_t taps = place.window.kernel[0] * place.window.kernel[1];
  return rows * (ceil_div(columns, abreast) + 2 * kTallest) * taps;
}

void copy_band(const WindowSource& source, const BandLayout& layout, const Band& band, int fill,
               uint8_t* out) {
  const Placement& place = source.placement;
  const Window& w = place.window;
  const int64_t pixel = source.pixel;
  const int64_t all = width(place, band.columns, layout.abreast);
  const int64_t first = band.x * w.stride[2] - place.pad[2];
  const int64_t left = std::clamp<int64_t>(-first, 0, all);
  const int64_t right = std::clamp<int64_t>(place.in[2] - first, left, all);
  const int64_t lines = (band.rows - 1) * w.stride[1] + w.extent(1);
  for (int64_t kz = 0; kz < w.kernel[0]; ++kz) {
    const int64_t z = band.plane * w.stride[0] - place.pad[0] + kz * w.dilation[0];
    uint8_t* to = out + layout.line(kz * layout.span(place));
    for (int64_t i = 0; i < lines; ++i, to += layout.pitch) {
      const int64_t y = band.y * w.stride[1] - place.pad[1] + i;
      if (!inside(z, place.in[0]) || !inside(y, place.in[1])) {
        std::memset(to, fill, static_cast<size_t>(all * pixel));
        continue;
      }
      const int64_t row = ((band.image * place.in[0] + z) * place.in[1] + y) * place.in[2];
      std::memset(to, fill, static_cast<size_t>(left * pixel));
      std::memcpy(to + left * pixel, source.x + (row + first + left) * pixel,
                  static_cast<size_t>((right - left) * pixel));
      std::memset(to + right * pixel, fill, static_cast<size_t>((all - right) * pixel));
    }
  }
}

bool all_finite(const Placement& place, const BandLayout& layout, const Band& band,
                const uint8_t* copy) {
  constexpr uint32_t kExponent = 0x7f800000;
  const Window& w = place.window;
  const int64_t size = width(place, band.columns, layout.abreast) * layout.pixel;
  const int64_t lines = (band.rows - 1) * w.stride[1] + w.extent(1);
  uint32_t found = 0;
  for (int64_t i = 0; i < w.kernel[0] * lines; ++i) {
    const uint8_t* line = copy + layout.line(i / lines * layout.span(place) + i % lines);
    for (int64_t at = 0; at < size; at += 4) {
      uint32_t bits;
      std::memcpy(&bits, line + at, sizeof(bits));
      found |= (bits & kExponent) == kExponent ? 1u : 0u;
    }
  }
  return found == 0;
}

TapRows taps_inside(const Placement& place, int64_t y) {
  const Window& w = place.window;
  const TapRows all{0, w.kernel[0] * w.kernel[1]};
  if (w.kernel[0] > 1) return all;  // what remains would not be one run of taps
  const int64_t start = y * w.stride[1] - place.pad[1];
  TapRows kept{0, 0};
  for (int64_t k = 0; k < w.kernel[1]; ++k) {
    if (!inside(start + k * w.dilation[1], place.in[1])) continue;
    if (kept.count++ == 0) kept.first = k;
  }
  return kept.count == 0 ? all : kept;
}

const void** point_into_band(const Placement& place, const BandLayout& layout, const uint8_t* base,
                             const TapRows& taps, int64_t row, int64_t column, int64_t columns,
                             int64_t count, int64_t height, const void** table) {
  const Window& w = place.window;
  const int64_t down = w.stride[1] * layout.pitch;
  const int64_t across = layout.abreast * w.stride[2] * layout.pixel;
  const int64_t row_end = columns / layout.abreast * across;
  base += row * down + column * w.stride[2] * layout.pixel;
  // Tap after tap: a block is as good as one long row of pointers for each.
  for (int64_t t = 0; t < taps.count; ++t) {
    const int64_t tap = taps.first + t;
    const int64_t line = tap / w.kernel[1] * layout.span(place) + tap % w.kernel[1] * w.dilation[1];
    const uint8_t* begin = base + layout.line(line);  // of the output row's windows
    const void** to = table + t * height;
    int64_t at = 0;  // of the window in them
    const void* last = nullptr;
    for (int64_t first = 0; first < count; first += height, to += taps.count * height) {
      const int64_t rows = std::min(height, count - first);
      for (int64_t r = 0; r < rows; ++r) {
        last = to[r] = begin + at;
        at += across;
        if (at == row_end) {
          at = 0;
          begin += down;
        }
      }
      std::fill(to + rows, to + height, last);
    }
  }
  return table + ceil_div(count, height) * height * taps.count;
}

}  // namespace pycompress
