#include "engine/integer_product.h"

#include <vector>

#include "engine/panels.h"
#include "gemm/pack.h"

namespace pycompress {
namespace {

// The first element of a side's matrix.
const uint8_t* matrix_at(const IntegerSide& side, const Shape& batch, int64_t index) {
  const uint8_t* data = side.data;
  for (int i = batch.rank() - 1; i >= 0; --i) {
    data += index % batch[i] * side.batch_step[i];
    index /= batch[i];
  }
  return data;
}

// Whether all matrices of A have one B and lie one below the other: they are one tall matrix then,
// unless the zero points of the rows begin anew.
bool is_tall(const IntegerProduct& p) {
  if (p.a.zero != nullptr && !p.one_a_zero) return false;
  int64_t step = p.m * p.a.row_step;
  for (int i = p.batch.rank() - 1; i >= 0; --i) {
    if (p.batch[i] == 1) continue;
    if (p.b.batch_step[i] != 0 || p.a.batch_step[i] != step) return false;
    step *= p.batch[i];
  }
  return true;
}

void multiply_one(const KernelSet& set, const IntegerProduct& p, int64_t index, int64_t m,
                  ThreadPool* pool) {
  PackedB& packed = reusable_panels(set, false, p.k, p.n);
  fill_b_int8(&packed, matrix_at(p.b, p.batch, index), p.b.is_signed, 0, p.b.row_step,
              p.b.column_step, p.b.zero, pool);
  const bool by_row = p.a.zero != nullptr && !p.one_a_zero;
  thread_local std::vector<int32_t> init;
  init.resize(static_cast<size_t>(p.n));
  gemm_init(packed, p.a.zero == nullptr || by_row ? 0 : *p.a.zero, p.a.is_signed, nullptr,
            init.data());
  Epilogue epilogue;
  epilogue.out = Out::s32;
  epilogue.init = init.data();
  if (by_row) epilogue.row_zero = p.a.zero;
  MatrixA rows;
  rows.data = matrix_at(p.a, p.batch, index);
  rows.lda = p.a.row_step;
  rows.is_signed = p.a.is_signed;
  rows.readable_tail = p.readable_tail;
  gemm(rows, packed, m, epilogue, p.c + index * p.m * p.c_step, p.c_step, pool);
}

}  // namespace

void multiply(const KernelSet& set, const IntegerProduct& p, ThreadPool* pool) {
  const int64_t count = p.batch.elements();
  if (count * p.m * p.n == 0) return;
  if (is_tall(p)) return multiply_one(set, p, 0, count * p.m, pool);
  const double work =
      static_cast<double>(p.m) * static_cast<double>(p.k) * static_cast<double>(p.n);
  for_matrices(count, work, pool, [&](int64_t index, ThreadPool* mine, int) {
    multiply_one(set, p, index, p.m, mine);
  });
}

}  // namespace pycompress
