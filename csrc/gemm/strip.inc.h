// The loop over the tiles of a strip, written once. The including file gives the tiles: functions
// of one TileArgs, compiled for a number of rows and of vectors of columns.
#pragma once
#include "kernels.h"

namespace pycompress {
namespace {

// One tile: row_count rows by col_count columns over all taps. rows[t * row_step + r] is row r of
// tap t. Panels are as in StripArgs. `next`, where not null, is what will be read after them and is
// not in cache yet: as many panels, for a tile to prefetch as it goes.
struct TileArgs {
  const void* const* rows;
  int64_t row_step;
  int64_t taps;
  int64_t k;
  const void* b;
  int64_t panel_bytes;
  const void* next;
  bool far_result;  // the strip's part of the result does not stay in cache
  int32_t row_count;
  int32_t col_count;
  int64_t row;  // of the tile's corner in the whole result
  int64_t col;
  void* c;      // the tile's corner
  int64_t ldc;  // in elements
  const Epilogue* epilogue;
};

// Asks for the lines that a tile of R rows and kBytes of each row will write, where they are not in
// cache: they come while it multiplies, and it need not wait for them at its end.
template <int R, int kBytes>
[[gnu::always_inline]] inline void prefetch_result(const TileArgs& args) {
  if (R == 1 || !args.far_result) return;
  const Out out = args.epilogue->out;
  const bool wide = out == Out::s32 || out == Out::f32;
  const int64_t ld = wide ? args.ldc * 4 : args.ldc;
  const char* c = static_cast<const char*>(args.c);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r, c += ld) {
    __builtin_prefetch(c, 1);
    if (!wide) continue;
#pragma GCC unroll 16
    for (int i = 64; i < kBytes; i += 64) __builtin_prefetch(c + i, 1);
  }
}

// B, or a result, that is larger does not stay in a second-level cache from one call to the next.
// And what such a cache holds twice: the panels in use and the next ones.
constexpr int64_t kCached = 768 * 1024, kTwice = 512 * 1024;

using Tile = void (*)(const TileArgs& args);

// tile_of(rows, columns) is the tile for that many of both.
template <typename TileOf>
[[gnu::always_inline]] inline void run_strip(const StripArgs& strip, int32_t nr,
                                             const TileOf& tile_of) {
  const int64_t width = static_cast<int64_t>(strip.panels) * nr;
  const Out out = strip.epilogue->out;
  const int64_t element = out == Out::s32 || out == Out::f32 ? 4 : 1;
  TileArgs tile;
  tile.row_step = strip.height;
  tile.taps = strip.taps;
  tile.k = strip.k;
  tile.panel_bytes = strip.panel_bytes;
  tile.ldc = strip.ldc;
  tile.epilogue = strip.epilogue;
  const int64_t group = strip.panels * strip.panel_bytes;
  const bool prefetch = strip.col_count / nr * strip.panel_bytes > kCached && group <= kTwice;
  tile.far_result = strip.row_count * strip.col_count * element > kCached;
  const char* b = static_cast<const char*>(strip.b);
  for (int64_t col = 0; col < strip.col_count; col += width, b += group) {
    const int64_t columns = strip.col_count - col;
    tile.b = b;
    tile.col = strip.col + col;
    tile.col_count = static_cast<int32_t>(columns < width ? columns : width);
    int32_t height = strip.height;
    Tile run = nullptr;
    tile.row_count = 0;
    for (int64_t row = 0; row < strip.row_count; row += height) {
      if (row >= strip.tall_rows) height = strip.short_height;
      const int64_t left = strip.row_count - row;
      const int32_t rows = left < height ? static_cast<int32_t>(left) : height;
      if (rows != tile.row_count) {
        tile.row_count = rows;
        run = tile_of(rows, tile.col_count);
      }
      tile.next = prefetch && left <= height && width < columns ? b + group : nullptr;
      tile.rows = strip.rows + row * strip.taps;
      tile.row = strip.row + row;
      tile.c = static_cast<char*>(strip.c) + (row * strip.ldc + col) * element;
      run(tile);
    }
  }
}

}  // namespace
}  // namespace pycompress
