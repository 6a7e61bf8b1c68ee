#include "engine/strided.h"

#include <algorithm>

#include "gemm/gemm.h"

namespace pycompress {
namespace {

constexpr int64_t kTile = 16;

// body(T{}), T being an integer of `size` bytes.
template <typename Body>
void with_type(size_t size, const Body& body) {
  switch (size) {
    case 1:
      return body(uint8_t{});
    case 2:
      return body(uint16_t{});
    case 4:
      return body(uint32_t{});
    default:
      return body(uint64_t{});
  }
}

template <typename T>
void copy_typed(const T* src, int64_t src_step, int64_t n, T* dst) {
  if (src_step == 0) {
    std::fill(dst, dst + n, *src);
    return;
  }
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i * src_step];
}

// dst[c * dst_step + r] = src[r * src_step + c] in square tiles, so that both sides stay in cache.
template <typename T>
void transpose_tile(const T* src, int64_t src_step, int64_t rows, int64_t cols, T* dst,
                    int64_t dst_step) {
  for (int64_t c0 = 0; c0 < cols; c0 += kTile) {
    const int64_t c1 = std::min(cols, c0 + kTile);
    for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
      const int64_t r1 = std::min(rows, r0 + kTile);
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) dst[c * dst_step + r] = src[r * src_step + c];
      }
    }
  }
}

// The loop's last dimension is contiguous in the destination, another one, `turn`, in the source.
template <typename T>
void copy_turned(ThreadPool* pool, const StridedLoop<2>& loop, int turn, const T* src, T* dst) {
  const int last = loop.rank() - 1;
  Shape outer;
  int64_t src_strides[kMaxRank];
  int64_t dst_strides[kMaxRank];
  for (int i = 0; i < last; ++i) {
    if (i == turn) continue;
    src_strides[outer.rank()] = loop.stride(0, i);
    dst_strides[outer.rank()] = loop.stride(1, i);
    outer.push(loop.dim(i));
  }
  // One more dimension of blocks, for threads when the outer ones are few.
  const int64_t cols = loop.dim(turn);
  const int64_t rows = loop.inner();
  const int64_t outer_count = outer.elements();
  const int64_t block =
      std::max<int64_t>(kTile, (16384 / std::max<int64_t>(rows, 1) + kTile) / kTile * kTile);
  const int64_t blocks = (cols + block - 1) / block;
  const double cost = 1.5 * static_cast<double>(rows) * static_cast<double>(std::min(block, cols));
  parallel_ranges(pool, outer_count * blocks, cost, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t from = 0;
      int64_t to = 0;
      int64_t rest = task / blocks;
      for (int i = outer.rank() - 1; i >= 0; --i) {
        from += rest % outer[i] * src_strides[i];
        to += rest % outer[i] * dst_strides[i];
        rest /= outer[i];
      }
      const int64_t c = task % blocks * block;
      transpose_tile(src + from + c, loop.inner_stride(0), rows, std::min(block, cols - c),
                     dst + to + c * loop.stride(1, turn), loop.stride(1, turn));
    }
  });
}

// dst[i * kFew + k] = src[k * step + i]: a few rows woven into one, or (step 0) a row each of whose
// elements comes a few times.
template <typename T, int kFew>
void weave(const T* src, int64_t step, int64_t n, T* dst) {
  for (int64_t i = 0; i < n; ++i) {
    for (int k = 0; k < kFew; ++k) dst[i * kFew + k] = src[k * step + i];
  }
}

// The number of rows that the loop weaves into one where there is a kernel for it, else 0.
int64_t woven(const StridedLoop<2>& loop) {
  const int last = loop.rank() - 1;
  if (last < 1 || loop.inner_stride(1) != 1 || loop.stride(0, last - 1) != 1) return 0;
  const int64_t few = loop.inner();
  return few <= 4 && loop.stride(1, last - 1) == few ? few : 0;
}

template <typename T>
void copy_woven(ThreadPool* pool, const StridedLoop<2>& loop, const T* src, T* dst) {
  const auto kernel = loop.inner() == 2   ? weave<T, 2>
                      : loop.inner() == 3 ? weave<T, 3>
                                          : weave<T, 4>;
  const int before = loop.rank() - 2;  // the dimension of what is woven
  Shape outer;
  int64_t strides[2][kMaxRank] = {};
  for (int i = 0; i < before; ++i) {
    for (int k = 0; k < 2; ++k) strides[k][i] = loop.stride(k, i);
    outer.push(loop.dim(i));
  }
  const int64_t n = loop.dim(before);
  // In blocks, for threads when the outer dimensions are few.
  constexpr int64_t kBlock = 2048;
  const int64_t blocks = ceil_div(n, kBlock);
  const int64_t block = ceil_div(n, std::max<int64_t>(1, blocks));
  const double cost = 0.5 * static_cast<double>(block * loop.inner() * int64_t{sizeof(T)});
  parallel_ranges(pool, outer.elements() * blocks, cost + 4.0, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * block;
      int64_t from = first;
      int64_t to = first * loop.inner();
      int64_t rest = i / blocks;
      for (int axis = before - 1; axis >= 0; --axis) {
        from += rest % outer[axis] * strides[0][axis];
        to += rest % outer[axis] * strides[1][axis];
        rest /= outer[axis];
      }
      kernel(src + from, loop.inner_stride(0), std::min(block, n - first), dst + to);
    }
  });
}

}  // namespace

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape out = longer;
  const int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    const int64_t dim = shorter[i];
    if (dim == out[i + shift] || dim == 1) continue;
    if (out[i + shift] != 1) fail("shapes " + a.str() + " and " + b.str() + " do not broadcast");
    out[i + shift] = dim;
  }
  return out;
}

void broadcast_strides(const Shape& in, const Shape& out, int64_t* strides) {
  int64_t own[kMaxRank];
  row_major_strides(in, own);
  const int shift = out.rank() - in.rank();
  for (int i = 0; i < out.rank(); ++i) {
    strides[i] = i < shift || in[i - shift] == 1 ? 0 : own[i - shift];
  }
}

void copy_elements(const void* src, int64_t src_step, int64_t n, size_t size, void* dst) {
  if (src_step == 1) {
    std::memcpy(dst, src, static_cast<size_t>(n) * size);
    return;
  }
  with_type(size, [&](auto type) {
    using T = decltype(type);
    copy_typed(static_cast<const T*>(src), src_step, n, static_cast<T*>(dst));
  });
}

void copy_strided(ThreadPool* pool, const StridedLoop<2>& loop, size_t size, const void* src,
                  void* dst) {
  if (woven(loop) > 1) {
    with_type(size, [&](auto type) {
      using T = decltype(type);
      copy_woven(pool, loop, static_cast<const T*>(src), static_cast<T*>(dst));
    });
    return;
  }
  if (loop.inner_stride(0) > 1 && loop.inner_stride(1) == 1) {
    for (int i = 0; i < loop.rank() - 1; ++i) {
      if (loop.stride(0, i) != 1) continue;
      with_type(size, [&](auto type) {
        using T = decltype(type);
        copy_turned(pool, loop, i, static_cast<const T*>(src), static_cast<T*>(dst));
      });
      return;
    }
  }
  const auto bytes = static_cast<int64_t>(size);
  const auto* from = static_cast<const uint8_t*>(src);
  auto* to = static_cast<uint8_t*>(dst);
  loop.parallel(pool, 0.25 * static_cast<double>(size), [&](const int64_t* offsets, int64_t n) {
    copy_elements(from + offsets[0] * bytes, loop.inner_stride(0), n, size,
                  to + offsets[1] * bytes);
  });
}

}  // namespace pycompress
