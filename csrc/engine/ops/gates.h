// Products with the weights of gates: float32, or int8 with the input quantized as it comes.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/op.h"
#include "gemm/gemm.h"

namespace pycompress {

struct GateWeights {
  PackedB packed;            // [k][n]
  std::vector<float> scale;  // [n] of int8 weights; empty for float32

  bool integer() const { return !packed.is_float; }
  // Scratch for multiply_gates() with so many rows.
  size_t scratch(int64_t rows) const;
};

// Packs `count` rows of `w`, of float32 or int8, from row `first` on, each `depth` long. scale: of
// these rows.
GateWeights pack_gates(const NodeDef& node, const Tensor& w, int64_t first, int64_t count,
                       int64_t depth, const float* scale);

// y[rows][n] = x . W + what `epilogue` adds (bias, residual). With int8 weights each row of x is
// quantized to u8 by its own range, so that a result does not depend on what else is in the batch.
// readable_tail: what lies behind x may be read.
void multiply_gates(const KernelSet& set, const GateWeights& w, const float* x, bool readable_tail,
                    int64_t rows, Epilogue epilogue, float* y, int64_t ldy, uint8_t* scratch,
                    ThreadPool* pool);

}  // namespace pycompress
