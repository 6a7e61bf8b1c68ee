#include "conv/windows.h"

#include <cstring>

namespace pycompress {
namespace {

bool inside(int64_t at, int64_t size) {
  return static_cast<uint64_t>(at) < static_cast<uint64_t>(size);
}

// Short runs are the rule (3 columns of 3 bytes): two overlapping moves instead of a call.
inline void copy_run(uint8_t* to, const uint8_t* from, int64_t n) {
  if (n > 16) {
    std::memcpy(to, from, static_cast<size_t>(n));
  } else if (n >= 8) {
    uint64_t head;
    uint64_t tail;
    std::memcpy(&head, from, 8);
    std::memcpy(&tail, from + n - 8, 8);
    std::memcpy(to, &head, 8);
    std::memcpy(to + n - 8, &tail, 8);
  } else if (n >= 4) {
    uint32_t head;
    uint32_t tail;
    std::memcpy(&head, from, 4);
    std::memcpy(&tail, from + n - 4, 4);
    std::memcpy(to, &head, 4);
    std::memcpy(to + n - 4, &tail, 4);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
  }
}

}  // namespace

void point_to_windows(const WindowSource& source, const void* padding, int64_t first, int64_t rows,
                      int64_t mr, const void** table) {
  const Placement& place = source.placement;
  const Window& w = place.window;
  const int64_t taps = w.taps();
  PixelCursor cursor(place, first);
  for (int64_t m = 0; m < (rows + mr - 1) / mr * mr; ++m) {
    const void** out = table + m / mr * taps * mr + m % mr;
    for (int64_t kz = 0; kz < w.kernel[0]; ++kz) {
      const int64_t z = cursor.start(0) + kz * w.dilation[0];
      for (int64_t ky = 0; ky < w.kernel[1]; ++ky) {
        const int64_t y = cursor.start(1) + ky * w.dilation[1];
        const bool row_inside = inside(z, place.in[0]) && inside(y, place.in[1]);
        const int64_t row = ((cursor.image() * place.in[0] + z) * place.in[1] + y) * place.in[2];
        int64_t x = cursor.start(2);
        for (int64_t kx = 0; kx < w.kernel[2]; ++kx, x += w.dilation[2], out += mr) {
          const bool is_inside = row_inside && inside(x, place.in[2]);
          *out = is_inside ? source.x + (row + x) * source.pixel : padding;
        }
      }
    }
    if (m < rows - 1) cursor.next();
  }
}

void gather_windows(const WindowSource& source, int64_t offset, int64_t depth, int fill,
                    int64_t first, int64_t rows, int64_t row_bytes, uint8_t* out) {
  const Placement& place = source.placement;
  const Window& w = place.window;
  const bool runs = w.dilation[2] == 1 && depth == source.pixel;  // a row of taps lies in one piece
  const int64_t used = w.taps() * depth;
  PixelCursor cursor(place, first);
  for (int64_t m = 0; m < rows; ++m, out += row_bytes) {
    uint8_t* to = out;
    const int64_t x0 = cursor.start(2);
    for (int64_t kz = 0; kz < w.kernel[0]; ++kz) {
      const int64_t z = cursor.start(0) + kz * w.dilation[0];
      for (int64_t ky = 0; ky < w.kernel[1]; ++ky, to += w.kernel[2] * depth) {
        const int64_t y = cursor.start(1) + ky * w.dilation[1];
        if (!inside(z, place.in[0]) || !inside(y, place.in[1])) {
          std::memset(to, fill, static_cast<size_t>(w.kernel[2] * depth));
          continue;
        }
        const int64_t row = ((cursor.image() * place.in[0] + z) * place.in[1] + y) * place.in[2];
        const uint8_t* from = source.x + row * source.pixel + offset;
        if (runs && x0 >= 0 && x0 + w.kernel[2] <= place.in[2]) {
          copy_run(to, from + x0 * source.pixel, w.kernel[2] * depth);
          continue;
        }
        for (int64_t kx = 0; kx < w.kernel[2]; ++kx) {
          const int64_t x = x0 + kx * w.dilation[2];
          if (inside(x, place.in[2])) {
            copy_run(to + kx * depth, from + x * source.pixel, depth);
          } else {
            std::memset(to + kx * depth, fill, static_cast<size_t>(depth));
          }
        }
      }
    }
    std::memset(out + used, 0, static_cast<size_t>(row_bytes - used));
    cursor.next();
  }
}

}  // namespace pycompress
