// Products of float32 with 4-bit weights: packing, quantization of A, blocking and threads, once
// for every instruction set. The numbers are described in kernels.h.
#pragma once
#include <cstdint>

#include "gemm/gemm.h"
#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

// 4-bit weights as ONNX Runtime's MatMulNBits has them: for each of n columns and ceil(k / block)
// blocks, block / 2 bytes with the earlier value in the low half, a scale and maybe a zero point
// (one in a byte).
struct Int4Weights {
  const uint8_t* data = nullptr;
  const float* scale = nullptr;
  const uint8_t* zero_point = nullptr;  // or null: 8
  int64_t k = 0, n = 0, block = 0;
};

// The panels of one kernel set.
struct PackedInt4 {
  const KernelSet* set = nullptr;
  int64_t k = 0, n = 0, block = 0;
  int64_t blocks = 0;  // ceil(k / block)
  bool zeros = false;
  size_t panel_bytes = 0;
  AlignedBuffer panels;
};

constexpr bool is_int4_block(int64_t block) { return block == 32 || block == 64 || block == 128; }

// Bytes of one block of a panel of nr columns.
constexpr int64_t int4_block_bytes(int64_t nr, int64_t block, bool zeros) {
  return nr * 4 + (zeros ? int4_zeros_bytes(nr) : 0) + nr * block / 2;
}

// Weights without their panels: their sizes, and how large a panel is.
PackedInt4 describe_int4(const KernelSet& set, int64_t k, int64_t n, int64_t block, bool zeros);

PackedInt4 pack_int4(const KernelSet& set, const Int4Weights& w);

// C[m, n] = epilogue(A . W), a: [m][lda] float32. Of the epilogue: out (f32, u8 or s8), scale,
// bias, residual, lo, hi and out_zero. Bits do not depend on the pool.
void gemm_int4(const float* a, int64_t lda, const PackedInt4& b, int64_t m,
               const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool);

}  // namespace pycompress
