// How a gemm gets to the windows of a convolution: pointers to their taps, or copies of them.
#pragma once
#include <cstdint>

#include "conv/geometry.h"

namespace pycompress {

// The input of a run: NHWC, `pixel` bytes from one pixel to the next.
struct WindowSource {
  const Placement& placement;
  const uint8_t* x;
  int64_t pixel;
};

// table[block][tap][mr]: pointers to the taps of rows first..first + rows - 1, the last row
// repeated up to whole blocks of mr. Taps outside the input point to `padding`.
void point_to_windows(const WindowSource& source, const void* padding, int64_t first, int64_t rows,
                      int64_t mr, const void** table);

// Copies the windows of rows first.. into out, [rows][row_bytes]: of each tap the `depth` bytes at
// `offset` of its pixel. `fill` is the byte that padding consists of; the rest of a row is zeros.
void gather_windows(const WindowSource& source, int64_t offset, int64_t depth, int fill,
                    int64_t first, int64_t rows, int64_t row_bytes, uint8_t* out);

}  // namespace pycompress
