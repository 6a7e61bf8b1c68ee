#include "engine/ops/gates.h"

#include "engine/arena.h"
#include "engine/fused.h"

namespace pycompress {
namespace {

size_t quantized_bytes(int64_t rows, int64_t k) {
  return padded_size(static_cast<size_t>(rows * k));
}

size_t row_bytes(int64_t rows) { return padded_size(static_cast<size_t>(rows) * sizeof(float)); }

}  // namespace

size_t GateWeights::scratch(int64_t rows) const {
  return integer() ? quantized_bytes(rows, packed.k) + 2 * row_bytes(rows) : 0;
}

GateWeights pack_gates(const NodeDef& node, const Tensor& w, int64_t first, int64_t count,
                       int64_t depth, const float* scale) {
  GateWeights gates;
  const bool is_float = w.dtype == DType::f32;
  if (!is_float) gates.scale.assign(scale, scale + count);
  const auto pack = [&] {
    const int64_t at = first * depth;
    if (is_float) return pack_b_f32(node.set(), w.as<float>() + at, 1, depth, count, 0, 1, depth);
    return pack_b_int8(node.set(), w.as<int8_t>() + at, true, 1, depth, count, 0, 1, depth,
                       nullptr);
  };
  gates.packed = node.store().matrix(node.set(), is_float, 1, depth, count, pack);
  return gates;
}

void multiply_gates(const KernelSet& set, const GateWeights& w, const float* x, bool readable_tail,
                    int64_t rows, Epilogue epilogue, float* y, int64_t ldy, uint8_t* scratch,
                    ThreadPool* pool) {
  if (rows == 0) return;
  MatrixA a;
  a.data = x;
  a.lda = w.packed.k;
  a.readable_tail = readable_tail;
  epilogue.out = Out::f32;
  if (w.integer()) {
    auto* scale = reinterpret_cast<float*>(scratch + quantized_bytes(rows, w.packed.k));
    auto* zero =
        reinterpret_cast<int32_t*>(scratch + quantized_bytes(rows, w.packed.k) + row_bytes(rows));
    quantize_rows(set, pool, x, rows, w.packed.k, scratch, scale, zero);
    a.data = scratch;
    a.readable_tail = true;
    epilogue.scale = w.scale.data();
    epilogue.row_scale = scale;
    epilogue.row_zero = zero;
  }
  gemm(a, w.packed, rows, epilogue, y, ldy, pool);
}

}  // namespace pycompress
