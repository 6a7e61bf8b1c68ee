#include "quantize/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace pycompress {
namespace {

constexpr int64_t kPiece = 1 << 15;  // elements of a task: some microseconds of work
constexpr int64_t kInL1 = 1 << 12;   // elements that stay in L1, and in L2 with their bytes
constexpr int64_t kInL2 = 1 << 16;
constexpr int64_t kTable = 1024;    // parameters that are spread out over elements at a time
constexpr int64_t kLongRow = 64;    // from here on a row's own scale pays
constexpr int64_t kJoined = 512;    // shorter rows are joined up to here
constexpr int64_t kColumns = 8192;  // scales that are spread out over columns at a time

int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Calls kernel(offset, n, scale, zero, step) for runs that cover the tensor, in parallel.
template <typename Kernel>
void for_runs(const Channels& of, const float* scale, const int32_t* zero, ThreadPool* pool,
              const Kernel& kernel) {
  const int64_t inner = of.inner;
  const int64_t row = of.channels * inner;
  if (of.size() == 0) return;
  if (of.size() < 2 * kPiece) pool = nullptr;
  if (inner >= kLongRow || of.channels == 1) {
    // One parameter for a long run: whole rows to a task, or a row to several tasks.
    const int64_t length = of.channels == 1 ? of.size() : inner;
    const int64_t rows = of.size() / length;
    const int64_t per_row = pieces(length, 2 * kPiece);
    const int64_t group = std::max<int64_t>(1, kPiece / length);
    parallel_for(pool, pieces(rows, group) * per_row, [&](int64_t task, int) {
      const int64_t first = task / per_row * group;
      const int64_t start = task % per_row * (2 * kPiece);
      for (int64_t r = first; r < std::min(rows, first + group); ++r) {
        const int64_t c = r % of.channels;
        kernel(r * length + start, std::min(2 * kPiece, length - start), scale + c, zero + c, 0);
      }
    });
    return;
  }
  // Short rows: parameters are spread out, one for each element, for a block of channels, and serve
  // all of `outer`. When all channels make less than a block, the block is several of them.
  const int64_t repeats = std::max<int64_t>(1, kTable / 2 / row);
  const int64_t block = repeats > 1 ? row * repeats : std::min(row, kTable / inner * inner);
  const int64_t stride = std::max(row, block);
  const int64_t runs = pieces(of.size(), stride);
  const int64_t blocks = pieces(stride, block);
  const int64_t group = std::max<int64_t>(1, kPiece / block);
  const int64_t groups = pieces(runs, group);
  parallel_for(pool, blocks * groups, [&](int64_t task, int) {
    const int64_t start = task / groups * block;
    const int64_t length = std::min(block, stride - start);
    const float* scales = scale + start / inner;
    const int32_t* zeros = zero + start / inner;
    std::array<float, kTable> wide_scales;
    std::array<int32_t, kTable> wide_zeros;
    if (inner > 1 || repeats > 1) {
      size_t i = 0;
      for (int64_t r = 0; r < repeats; ++r) {
        for (int64_t c = 0; c < length / repeats / inner; ++c) {
          for (int64_t k = 0; k < inner; ++k, ++i) {
            wide_scales[i] = scales[c];
            wide_zeros[i] = zeros[c];
          }
        }
      }
      scales = wide_scales.data();
      zeros = wide_zeros.data();
    }
    const int64_t first = task % groups * group;
    for (int64_t r = first; r < std::min(runs, first + group); ++r) {
      const int64_t offset = r * stride + start;
      const int64_t n = std::min(length, of.size() - offset);
      kernel(offset, n, scales, zeros, 1);
    }
  });
}

template <typename From, typename To, typename Function>
void convert(Function function, const From* from, const Channels& of, const float* scale,
             const int32_t* zero, To* to, ThreadPool* pool) {
  for_runs(of, scale, zero, pool,
           [&](int64_t offset, int64_t n, const float* s, const int32_t* z, int64_t step) {
             function(from + offset, n, s, z, step, to + offset);
           });
}

// Bytes of the last cache that this CPU shares with few others. sysconf() may count all of a
// socket's together: on some CPUs ten times as much as one core has.
int64_t last_cache() {
  constexpr int64_t kUsual = int64_t{32} << 20;
  for (const char level : {'3', '2'}) {
    std::string path = "/sys/devices/system/cpu/cpu0/cache/index./size";
    path[path.find('.')] = level;
    int64_t kilobytes = 0;
    if (std::ifstream(path) >> kilobytes && kilobytes > 0) return kilobytes << 10;  // "32768K"
  }
  return kUsual;
}

// Whether what is read and written is more than caches hold: then what is written first would have
// left them before anyone reads it.
bool streams(const Channels& of) {
  static const int64_t cache = last_cache();
  return of.size() * 5 > cache;
}

using Kernel = void (*)(const QuantizeArgs& args);

// Each row of `inner` elements has one scale.
template <typename Byte>
void quantize_long_rows(Kernel kernel, const float* x, const Channels& of, const float* scale,
                        const int32_t* zero, Byte* q, ThreadPool* pool) {
  const int64_t length = of.channels == 1 ? of.size() : of.inner;
  const int64_t rows = of.size() / length;
  const int64_t wide = streams(of) ? 4 : 1;
  const int64_t piece = 2 * wide * kPiece;  // of a row that is longer
  const int64_t per_row = pieces(length, piece);
  const int64_t group = std::max<int64_t>(1, wide * kPiece / length);
  const int64_t tasks = pieces(rows, group) * per_row;
  parallel_for(pool, tasks, [&](int64_t task, int) {
    // From the end on: what was looked at last, to find a scale, is still in a cache.
    const int64_t at = tasks - 1 - task;
    const int64_t start = at % per_row * piece;
    const int64_t end = std::min(rows, (at / per_row + 1) * group);
    for (int64_t r = at / per_row * group; r < end;) {
      const int64_t c = r % of.channels;
      const int64_t count = std::min(end - r, of.channels - c);
      const int64_t offset = r * length + start;
      kernel({x + offset, count, std::min(piece, length - start), length, scale + c, zero + c,
              q + offset, streams(of)});
      r += count;
    }
  });
}

// Each column of [outer, channels * inner] has one scale. Very short rows are joined to longer
// ones.
template <typename Byte>
void quantize_short_rows(Kernel kernel, const float* x, const Channels& of, const float* scale,
                         const int32_t* zero, Byte* q, ThreadPool* pool) {
  const int64_t row = of.channels * of.inner;
  const int64_t repeats = row < kJoined ? std::min(pieces(kJoined, row), of.outer) : 1;
  const int64_t width = row * repeats;
  const int64_t rows = of.outer / repeats;
  const int64_t block = std::min(width, kColumns);
  const int64_t blocks = pieces(width, block);
  const int64_t workers = pool == nullptr ? 1 : pool->size();
  const int64_t groups = workers == 1 ? 1 : std::max<int64_t>(1, std::min(4 * workers, rows / 16));
  parallel_for(pool, blocks * groups, [&](int64_t task, int) {
    const int64_t at = blocks * groups - 1 - task;
    const int64_t start = at % blocks * block;
    const int64_t count = std::min(block, width - start);
    const float* scales = scale + start;
    const int32_t* zeros = zero + start;
    std::vector<float> wide_scales;
    std::vector<int32_t> wide_zeros;
    if (of.inner > 1 || repeats > 1) {
      wide_scales.resize(static_cast<size_t>(count));
      wide_zeros.resize(static_cast<size_t>(count));
      int64_t c = start / of.inner;
      int64_t within = start % of.inner;
      for (int64_t i = 0; i < count; ++i) {
        wide_scales[static_cast<size_t>(i)] = scale[c];
        wide_zeros[static_cast<size_t>(i)] = zero[c];
        if (++within == of.inner) {
          within = 0;
          c = c + 1 == of.channels ? 0 : c + 1;
        }
      }
      scales = wide_scales.data();
      zeros = wide_zeros.data();
    }
    const int64_t first = at / blocks * rows / groups;
    const int64_t end = (at / blocks + 1) * rows / groups;
    const int64_t offset = first * width + start;
    kernel({x + offset, end - first, count, width, scales, zeros, q + offset, streams(of)});
    const int64_t left = of.size() - rows * width;  // fewer than `repeats` rows
    if (end == rows && left > 0) {
      const int64_t tail = rows * width;
      kernel({x + tail, 1, left, left, scales, zeros, q + tail, false});
    }
  });
}

template <typename Byte>
void quantize_with(Kernel rows, Kernel columns, const float* x, const Channels& of,
                   const float* scale, const int32_t* zero, Byte* q, ThreadPool* pool) {
  if (of.size() == 0) return;
  if (of.size() < 2 * kPiece) pool = nullptr;
  if (of.inner >= kLongRow || of.channels == 1) {
    quantize_long_rows(rows, x, of, scale, zero, q, pool);
  } else {
    quantize_short_rows(columns, x, of, scale, zero, q, pool);
  }
}

// A denormal quotient would be too coarse to hold the largest weight within 127.
float scale_that_holds(float largest) {
  if (!std::isfinite(largest)) return largest;
  return largest == 0.0f ? 1.0f : std::max(largest / 127.0f, std::numeric_limits<float>::min());
}

// Largest |x| of each channel, NaN where the channel holds one.
void largest_by_channel(const QuantizeKernels& kernels, const float* x, const Channels& of,
                        float* largest) {
  const auto join = [](float& best, float value) {
    if (!(value <= best) && !std::isnan(best)) best = value;
  };
  std::fill(largest, largest + of.channels, 0.0f);
  if (of.inner >= kLongRow) {
    for (int64_t r = 0; r < of.outer * of.channels; ++r) {
      join(largest[r % of.channels], kernels.largest(x + r * of.inner, of.inner));
    }
    return;
  }
  const int64_t row = of.channels * of.inner;
  std::vector<float> by_column(static_cast<size_t>(row));
  kernels.largest_columns(x, of.outer, row, row, by_column.data());
  for (int64_t i = 0; i < row; ++i) join(largest[i / of.inner], by_column[static_cast<size_t>(i)]);
}

}  // namespace

void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, uint8_t* q, ThreadPool* pool) {
  quantize_with(set.quantize->rows_u8, set.quantize->columns_u8, x, of, scale, zero, q, pool);
}

void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, int8_t* q, ThreadPool* pool) {
  quantize_with(set.quantize->rows_s8, set.quantize->columns_s8, x, of, scale, zero, q, pool);
}

void dequantize_tensor(const KernelSet& set, const uint8_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool) {
  convert(set.quantize->from_u8, q, of, scale, zero, x, pool);
}

void dequantize_tensor(const KernelSet& set, const int8_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool) {
  convert(set.quantize->from_s8, q, of, scale, zero, x, pool);
}

void dequantize_tensor(const KernelSet& set, const int32_t* q, const Channels& of,
                       const float* scale, const int32_t* zero, float* x, ThreadPool* pool) {
  convert(set.quantize->from_s32, q, of, scale, zero, x, pool);
}

int64_t quantize_weights(const KernelSet& set, const float* x, const Channels& of, float* scale,
                         int8_t* q, ThreadPool* pool) {
  const QuantizeKernels& kernels = *set.quantize;
  const std::vector<int32_t> zero(static_cast<size_t>(of.channels), 0);
  const bool by_rows = of.outer == 1 && of.inner >= kLongRow && of.channels > 1;
  if (by_rows) {
    // Rows are quantized while they are in the cache that finding their scales has put them in.
    const bool around = streams(of);
    const int64_t group = std::max<int64_t>(1, (around ? kInL2 : kInL1) / of.inner);
    parallel_for(
        of.size() < 2 * kPiece ? nullptr : pool, pieces(of.channels, group),
        [&](int64_t task, int) {
          const int64_t first = task * group;
          const int64_t end = std::min(of.channels, first + group);
          for (int64_t r = first; r < end; ++r) {
            scale[r] = scale_that_holds(kernels.largest(x + r * of.inner, of.inner));
          }
          if (!std::all_of(scale + first, scale + end, [](float s) { return std::isfinite(s); })) {
            return;
          }
          // Caches give the next ones meanwhile; memory is read faster by the scan.
          const float* next = !around && end + group <= of.channels ? x + end * of.inner : nullptr;
          kernels.rows_s8({x + first * of.inner, end - first, of.inner, of.inner, scale + first,
                           zero.data(), q + first * of.inner, around, next});
        });
  } else {
    largest_by_channel(kernels, x, of, scale);
    std::transform(scale, scale + of.channels, scale, scale_that_holds);
  }
  const float* wild =
      std::find_if(scale, scale + of.channels, [](float s) { return !std::isfinite(s); });
  if (wild != scale + of.channels) return wild - scale;
  if (!by_rows) quantize_tensor(set, x, of, scale, zero.data(), q, pool);
  return -1;
}

}  // namespace pycompress
