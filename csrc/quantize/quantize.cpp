#include "quantize/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace pycompress {
namespace {

constexpr int64_t kPiece = 1 << 15;  // elements of a task: some microseconds of work
constexpr int64_t kTable = 1024;     // parameters that are spread out over elements at a time
constexpr int64_t kLongRow = 64;     // from here on one call of a kernel per row pays

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

}  // namespace

void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, uint8_t* q, ThreadPool* pool) {
  convert(set.quantize->to_u8, x, of, scale, zero, q, pool);
}

void quantize_tensor(const KernelSet& set, const float* x, const Channels& of, const float* scale,
                     const int32_t* zero, int8_t* q, ThreadPool* pool) {
  convert(set.quantize->to_s8, x, of, scale, zero, q, pool);
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

void largest_by_channel(const KernelSet& set, const float* x, const Channels& of, float* largest) {
  const auto join = [](float best, float value) {  // NaN stays
    return std::isnan(best) || best > value ? best : value;
  };
  std::fill(largest, largest + of.channels, 0.0f);
  const PointwiseKernels& kernels = *set.pointwise;
  if (of.inner >= kLongRow) {
    for (int64_t r = 0; r < of.outer * of.channels; ++r) {
      float& best = largest[r % of.channels];
      best = join(best, kernels.reduce(Reduce::max, x + r * of.inner, of.inner));
      best = join(best, -kernels.reduce(Reduce::min, x + r * of.inner, of.inner));
    }
    return;
  }
  const int64_t row = of.channels * of.inner;
  std::vector<float> high(static_cast<size_t>(row), 0.0f);
  std::vector<float> low(high);
  for (int64_t o = 0; o < of.outer; ++o) {
    kernels.reduce_rows(Reduce::max, x + o * row, row, high.data());
    kernels.reduce_rows(Reduce::min, x + o * row, row, low.data());
  }
  for (int64_t i = 0; i < row; ++i) {
    float& best = largest[i / of.inner];
    best = join(join(best, high[static_cast<size_t>(i)]), -low[static_cast<size_t>(i)]);
  }
}

}  // namespace pycompress
