// Products of 8-bit matrices neither of which is known before it runs, batched: B is packed on the
// way.
#pragma once
#include <cstdint>

#include "engine/tensor.h"
#include "gemm/gemm.h"

namespace pycompress {

// The matrices of one side. Steps are in elements.
struct IntegerSide {
  const uint8_t* data = nullptr;
  bool is_signed = false;
  int64_t row_step = 0, column_step = 1;
  int64_t batch_step[kMaxRank] = {};
  const int32_t* zero = nullptr;  // zero points: of A's rows, of B's columns; null for none
};

// C[batch][m][n] = (A[batch][m][k] - a_zero) . (B[batch][k][n] - b_zero), in int32 and exact.
struct IntegerProduct {
  Shape batch;
  int64_t m = 0, k = 0, n = 0;
  IntegerSide a;               // its columns one step apart
  bool one_a_zero = false;     // a.zero is one for all rows
  bool readable_tail = false;  // as in MatrixA
  IntegerSide b;               // in any steps
  int32_t* c = nullptr;
  int64_t c_step = 0;  // from row to row; a matrix begins m rows after the one before it
};

void multiply(const KernelSet& set, const IntegerProduct& product, ThreadPool* pool);

// Calls one(index, pool, worker) for each of `count` matrices of a result that take `work`
// multiply-adds each: on a thread each where there are enough of them to go round, else one after
// the other, each on all threads.
template <typename One>
void for_matrices(int64_t count, double work, ThreadPool* pool, const One& one) {
  const int threads = pool == nullptr ? 1 : pool->size();
  if (count < threads || threads == 1 || work * static_cast<double>(count) < 500000.0) {
    for (int64_t i = 0; i < count; ++i) one(i, pool, 0);
  } else {
    parallel_for(pool, count, [&](int64_t index, int worker) { one(index, nullptr, worker); });
  }
}

}  // namespace pycompress
