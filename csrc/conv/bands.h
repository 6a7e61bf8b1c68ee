// Bands: how a gemm gets to the windows of a convolution without copying each of them.
//
//   the input rows that some rows of the output read, side by side with the padding around them
//
//     line 0   fill | x00 x01 x02 x03 .. | fill     a pixel's row of taps is one run of kw * C
//     line 1   fill | x10 x11 x12 x13 .. | fill     values, whatever C and the stride: one long
//     line 2   fill | x20 x21 x22 x23 .. | fill     tap of the gemm, without gaps
//
// A row of the gemm may be several neighbouring pixels of the output, as so many times the filters:
// `abreast` of them share a run that is (abreast - 1) strides longer, with zeros among the weights.
// Few filters fill a vector of columns that way.
#pragma once
#include <cstdint>

#include "conv/geometry.h"
#include "conv/windows.h"

namespace pycompress {

// Pixels of the output: rows y.. and columns x.. of one plane.
struct Band {
  int64_t image, plane;
  int64_t y, rows;
  int64_t x, columns;
};

// Taps of a row in one run, of `abreast` neighbouring pixels.
constexpr int64_t run_taps(const Window& window, int64_t abreast) {
  return window.kernel[2] + (abreast - 1) * window.stride[2];
}

// The bands of a placement: how large they are and what they take.
struct BandLayout {
  BandLayout() = default;
  // pixel: bytes of one of the input; largest: pixels of the output in one band.
  BandLayout(const Placement& placement, int64_t pixel, int64_t abreast, int64_t largest);

  // Bands of fewer rows: at least `wanted` of them, if there are as many rows.
  BandLayout split(const Placement& placement, int64_t wanted) const;
  int64_t count(const Placement& placement) const;
  Band at(const Placement& placement, int64_t index) const;

  int64_t line(int64_t y) const { return y * pitch; }  // where line y begins
  int64_t span(const Placement& placement) const;      // lines for each tap of a plane
  size_t bytes(const Placement& placement) const;
  int64_t pointers(const Placement& placement) const;  // at most, in one band

  int64_t pixel = 0;
  int64_t abreast = 1;
  int64_t rows = 0, columns = 0;  // of a band
  int64_t pitch = 0;              // bytes from one line to the next
};

// Copies a band's input; `fill` is the byte that padding consists of.
void copy_band(const WindowSource& source, const BandLayout& layout, const Band& band, int fill,
               uint8_t* out);

// Whether the float32 values of a copy are.
bool all_finite(const Placement& placement, const BandLayout& layout, const Band& band,
                const uint8_t* copy);

// Rows of taps of a plane that are not all padding, for row y of the output: first.., count of
// them; all where nothing is to be left out, or nothing would remain.
struct TapRows {
  int64_t first, count;
};
TapRows taps_inside(const Placement& placement, int64_t y);

// table[block][tap][height]: pointers into a band to the runs of `count` rows of the gemm, from
// output row `row` of the band, the last one repeated up to whole blocks. Each output row gives
// columns / abreast of them. Returns the end of what it wrote.
const void** point_into_band(const Placement& placement, const BandLayout& layout,
                             const uint8_t* base, const TapRows& taps, int64_t row, int64_t column,
                             int64_t columns, int64_t count, int64_t height, const void** table);

}  // namespace pycompress
