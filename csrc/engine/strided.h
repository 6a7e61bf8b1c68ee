// Loops over tensors that lie differently in memory: broadcasting, slices, transpositions.
#pragma once
#include <cstring>

#include "engine/op.h"
#include "engine/tensor.h"

namespace pycompress {

// ONNX (NumPy) broadcasting; throws std::invalid_argument that shows both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b);
// Strides of a tensor of shape `in` read as if it had shape `out`: 0 where it repeats.
void broadcast_strides(const Shape& in, const Shape& out, int64_t* strides);

// The same index space walked in K tensors at once. Dimensions of 1 are dropped, and neighbours
// that are contiguous in all K are merged, so that the innermost loop is as long as it can be.
template <int K>
class StridedLoop {
 public:
  StridedLoop(const Shape& shape, const int64_t* const (&strides)[K]) {
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) continue;
      bool merges = rank_ > 0;
      for (int k = 0; k < K; ++k) {
        merges = merges && strides_[k][rank_ - 1] == strides[k][i] * shape[i];
      }
      if (!merges) ++rank_;
      dims_[rank_ - 1] = merges ? dims_[rank_ - 1] * shape[i] : shape[i];
      for (int k = 0; k < K; ++k) strides_[k][rank_ - 1] = strides[k][i];
    }
    if (rank_ == 0) {
      rank_ = 1;
      dims_[0] = 1;
      for (int k = 0; k < K; ++k) strides_[k][0] = 0;
    }
    for (int i = 0; i < rank_ - 1; ++i) rows_ *= dims_[i];
  }

  int64_t rows() const { return rows_; }
  int64_t inner() const { return dims_[rank_ - 1]; }
  int64_t inner_stride(int k) const { return strides_[k][rank_ - 1]; }
  int rank() const { return rank_; }
  int64_t dim(int i) const { return dims_[i]; }
  int64_t stride(int k, int i) const { return strides_[k][i]; }

  // body(offsets): the K offsets, in elements, of the first element of each of rows [begin, end).
  template <typename Body>
  void for_rows(int64_t begin, int64_t end, const Body& body) const {
    int64_t index[kMaxRank] = {};
    int64_t offsets[K] = {};
    int64_t rest = begin;
    for (int i = rank_ - 2; i >= 0; --i) {
      index[i] = rest % dims_[i];
      rest /= dims_[i];
      for (int k = 0; k < K; ++k) offsets[k] += index[i] * strides_[k][i];
    }
    for (int64_t row = begin; row < end; ++row) {
      body(static_cast<const int64_t*>(offsets));
      for (int i = rank_ - 2; i >= 0; --i) {
        for (int k = 0; k < K; ++k) offsets[k] += strides_[k][i];
        if (++index[i] < dims_[i]) break;
        index[i] = 0;
        for (int k = 0; k < K; ++k) offsets[k] -= strides_[k][i] * dims_[i];
      }
    }
  }

  // body(offsets, n) over pieces of all rows, in threads when it is worth it: whole rows, or parts
  // of the only row.
  template <typename Body>
  void parallel(ThreadPool* pool, double cost, const Body& body) const {
    if (inner() == 0 || rows_ == 0) return;
    if (rows_ == 1) {
      parallel_ranges(pool, inner(), cost, [&](int64_t begin, int64_t end) {
        int64_t offsets[K];
        for (int k = 0; k < K; ++k) offsets[k] = begin * inner_stride(k);
        body(static_cast<const int64_t*>(offsets), end - begin);
      });
      return;
    }
    // A row costs a little even when it is short.
    const double row_cost = cost * static_cast<double>(inner()) + 4.0;
    parallel_ranges(pool, rows_, row_cost, [&](int64_t begin, int64_t end) {
      for_rows(begin, end, [&](const int64_t* offsets) { body(offsets, inner()); });
    });
  }

 private:
  int rank_ = 0;
  int64_t rows_ = 1;
  int64_t dims_[kMaxRank] = {};
  int64_t strides_[K][kMaxRank] = {};
};

// n elements of `size` bytes from src (step in elements; 0 repeats one) to contiguous dst.
void copy_elements(const void* src, int64_t src_step, int64_t n, size_t size, void* dst);

// Copies elements of `size` bytes: loop's tensor 0 is the source, 1 the destination.
void copy_strided(ThreadPool* pool, const StridedLoop<2>& loop, size_t size, const void* src,
                  void* dst);

}  // namespace pycompress
