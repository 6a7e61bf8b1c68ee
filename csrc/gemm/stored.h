// Packed weights as they lie in a file, and back: a view of them where this kernel set has the same
// layout, packed anew where it has another one.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "gemm/gemm.h"

namespace pycompress {

// A run of bytes that something else keeps alive.
struct Block {
  std::shared_ptr<void> owner;
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

// One packed thing: what its layout is, and its parts.
struct Stored {
  std::vector<int64_t> layout;
  std::vector<Block> blocks;
};

// Blocks: panels, col_sum, col_zero (empty when all are zero).
Stored store_b(const PackedB& packed);

// The matrix of these sizes. Throws std::invalid_argument when `stored` is something else, or its
// parts have other sizes than its layout says. The panels of `stored` must have 256 readable bytes
// behind them.
PackedB restore_b(const KernelSet& set, const Stored& stored, bool is_float, int64_t taps,
                  int64_t k, int64_t n);

// Whether restore_b() can use the panels as they are.
bool has_layout_of(const KernelSet& set, const Stored& stored);

// The weights of a stored matrix, [taps][k][n]: float, or int8 with zero points [n] (or none).
struct Unpacked {
  std::vector<float> floats;
  std::vector<int8_t> integers;
  std::vector<int32_t> zeros;
};
Unpacked unpack_b(const Stored& stored);

// Throws unless `block` holds `count` elements of `element` bytes; `what` names it.
void need_block(const Block& block, int64_t count, int64_t element, const char* what);

}  // namespace pycompress
