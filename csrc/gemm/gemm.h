// The gemm driver: packed weights, blocking, edges and threads, once for every instruction set and
// element type.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t value, int64_t step) { return ceil_div(value, step) * step; }

// A 64-byte aligned block with slack behind it that may be read. Large ones ask for huge pages.
struct AlignedBuffer {
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);
  // Memory of someone else's, aligned and with slack, only to be read.
  AlignedBuffer(std::shared_ptr<void> owner, const uint8_t* data, size_t bytes)
      : data_(std::move(owner), const_cast<uint8_t*>(data)), size_(bytes) {}
  uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<uint8_t> data_;
  size_t size_ = 0;
};

// Bytes from one panel to the next. A tile reads several at once: streams that lie a power of two
// apart would fall into the same few sets of the cache.
constexpr int64_t panel_stride(int64_t bytes) { return bytes % 2048 == 0 ? bytes + 64 : bytes; }

// Weights in panels of nr columns for one kernel set: [ceil(N / nr)][taps][k_padded / kr][nr][kr],
// panel_bytes apart, zeros in the padding.
struct PackedB {
  const KernelSet* set = nullptr;
  bool is_float = false;
  int64_t taps = 1, k = 0, n = 0;  // k: depth of one tap, before padding to kr
  int64_t k_padded = 0;
  size_t panel_bytes = 0;
  AlignedBuffer panels;
  std::vector<int32_t> col_sum;  // [N] sum over taps and k of (b - b_zero), exact
  std::vector<int32_t>
      col_zero;  // [N] b_zero in the signed domain of the panels; empty when all are zero
  const void* panel(int64_t index) const {
    return panels.data() + static_cast<size_t>(index) * panel_bytes;
  }
};

inline const GemmKernel& kernel_of(const KernelSet& set, bool is_float) {
  return is_float ? set.gemm->f32 : set.gemm->s8;
}

// A matrix without its panels: its sizes, and how large a panel is.
PackedB describe_b(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n);

// b: element (t, k, n) at b[t * tap_stride + k * k_stride + n * n_stride]. u8 is shifted into s8 (b
// ^ 0x80, zero point - 128). b_zero: [N] or null, in the type of b. Throws std::invalid_argument
// when a sum over taps * k could leave int32.
PackedB pack_b_int8(const KernelSet& set, const void* b, bool b_signed, int64_t taps, int64_t k,
                    int64_t n, int64_t tap_stride, int64_t k_stride, int64_t n_stride,
                    const int32_t* b_zero);
PackedB pack_b_f32(const KernelSet& set, const float* b, int64_t taps, int64_t k, int64_t n,
                   int64_t tap_stride, int64_t k_stride, int64_t n_stride);
// The two halves of packing, to pack many matrices of one shape into the same memory.
PackedB empty_b(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n);
void fill_b_int8(PackedB* packed, const void* b, bool b_signed, int64_t tap_stride,
                 int64_t k_stride, int64_t n_stride, const int32_t* b_zero);
void fill_b_f32(PackedB* packed, const float* b, int64_t tap_stride, int64_t k_stride,
                int64_t n_stride);

// init[n] of the epilogue, for A and a_zero in the type that the caller has them in: bias[n] (or 0)
// - a_zero * col_sum[n], and what it takes to undo the tile's flip of A's sign. row_sum and
// row_zero of the epilogue are in the caller's type too.
void gemm_init(const PackedB& b, int32_t a_zero, bool a_signed, const int32_t* bias, int32_t* init);

// Epilogue::clamp, of an integer gemm with n columns.
Clamp clamp_of(const Epilogue& epilogue, int64_t n);

// Where row m of tap t of A lies. Contiguous A: one tap, rows = a + m * lda. Convolution: a table
// of pointers.
struct MatrixA {
  const void* data = nullptr;  // contiguous, when `table` is null
  int64_t lda = 0;             // in elements
  const void* const* table =
      nullptr;             // [m / mr blocks][taps][mr]: mr = the set's, rows past M repeat the last
  bool is_signed = false;  // integer A
  bool readable_tail =
      false;            // k_padded elements of every row may be read (else a row's tail is copied)
  bool fitted = false;  // the table's blocks are fitted_height() rows high, not mr
  // The table is for these taps of B alone (tap_count 0: for all). What the others read counts as
  // 0, so they may only be left out where zero points do not need them.
  int64_t first_tap = 0, tap_count = 0;
};

// Rows of a block in a table of m rows that is made for one product with b.
int64_t fitted_height(const PackedB& b, int64_t m);

// C[M, N] = epilogue(A . B). c: the type that epilogue.out says. Filled in here where needed and
// left null by the caller: init (as for a_zero = 0), col_zero, row_sum, and col_sum when row_zero
// is there. Bits do not depend on the pool.
void gemm(const MatrixA& a, const PackedB& b, int64_t m, const Epilogue& epilogue, void* c,
          int64_t ldc, ThreadPool* pool);

// The same of columns first.. alone, on the calling thread: whole panels, but for the last one. c
// is where the first of them goes. B has no zero points, and an integer gemm its init.
void gemm_columns(const MatrixA& a, const PackedB& b, int64_t m, int64_t first, int64_t columns,
                  const Epilogue& epilogue, void* c, int64_t ldc);

}  // namespace pycompress
