// Products of float32 by way of bfloat16: packing, rounding of A, blocking and threads, once for
// every instruction set. The numbers are described in kernels.h.
#pragma once
#include <cstdint>

#include "gemm/gemm.h"
#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

// Weights in panels of nr columns: [ceil(N / nr)][taps][k_padded / kr][nr][kr] bfloat16, zeros in
// the padding.
struct PackedBf16 {
  const KernelSet* set = nullptr;
  const Bf16Kernel* kernel = nullptr;
  int64_t taps = 1, k = 0, n = 0;  // k: depth of one tap, before padding to kr
  int64_t k_padded = 0;
  size_t panel_bytes = 0;
  AlignedBuffer panels;
};

// Weights without their panels: their sizes, and how large a panel is.
PackedBf16 describe_bf16(const KernelSet& set, int64_t taps, int64_t k, int64_t n);

// Element (t, k, n) at b[t * tap_stride + k * k_stride + n * n_stride].
PackedBf16 pack_bf16(const KernelSet& set, const float* b, int64_t taps, int64_t k, int64_t n,
                     int64_t tap_stride, int64_t k_stride, int64_t n_stride);

// C[m, n] = epilogue(A . B), a: [m][lda] float32. Of the epilogue: out (f32, u8 or s8), scale,
// bias, residual, lo, hi and out_zero. Bits do not depend on the pool.
void gemm_bf16(const float* a, int64_t lda, const PackedBf16& b, int64_t m,
               const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool);

// The same for rows that are rounded already, as Bf16Kernel::round leaves them, and zeros up to
// k_padded. One tap: rows[r]. More: [m / mr blocks][taps][mr] pointers, rows past m repeat the
// last.
void multiply_bf16(const void* const* rows, const PackedBf16& b, int64_t m,
                   const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool);

}  // namespace pycompress
