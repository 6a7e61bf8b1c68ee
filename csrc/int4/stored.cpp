#include "int4/stored.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace pycompress {
namespace {

enum Place { kBits, kDepth, kColumns, kBlock, kZeros, kNr, kKr, kPlaces };

// The weights that panels of another layout hold, packed for this set.
PackedInt4 repack(const KernelSet& set, const uint8_t* panels, int64_t nr, int64_t kr,
                  const PackedInt4& sizes) {
  const int64_t blocks = sizes.blocks;
  const int64_t half = sizes.block / 2;
  const int64_t zero_bytes = sizes.zeros ? int4_zeros_bytes(nr) : 0;
  const int64_t block_bytes = int4_block_bytes(nr, sizes.block, sizes.zeros);
  const auto count = static_cast<size_t>(sizes.n * blocks);
  std::vector<uint8_t> data(count * static_cast<size_t>(half)), zeros(sizes.zeros ? count : 0);
  std::vector<float> scale(count);
  const auto put = [&](size_t at, int64_t k, uint8_t q) {
    data[at * static_cast<size_t>(half) + static_cast<size_t>(k / 2)] |=
        static_cast<uint8_t>(k % 2 == 0 ? q : q << 4);
  };
  for (int64_t column = 0; column < sizes.n; ++column) {
    const int64_t n = column % nr;
    const uint8_t* from = panels + column / nr * blocks * block_bytes;
    for (int64_t i = 0; i < blocks; ++i, from += block_bytes) {
      const auto at = static_cast<size_t>(column * blocks + i);
      std::memcpy(&scale[at], from + n * 4, 4);
      if (sizes.zeros) zeros[at] = from[nr * 4 + n];
      const uint8_t* q = from + nr * 4 + zero_bytes + n * kr;
      for (int64_t k = 0; k < sizes.block; k += 2 * kr, q += nr * kr) {
        for (int64_t j = 0; j < kr; ++j) {
          put(at, k + j, q[j] & 15);
          put(at, k + kr + j, q[j] >> 4);
        }
      }
    }
  }
  Int4Weights w;
  w.data = data.data();
  w.scale = scale.data();
  w.zero_point = sizes.zeros ? zeros.data() : nullptr;
  w.k = sizes.k;
  w.n = sizes.n;
  w.block = sizes.block;
  return pack_int4(set, w);
}

}  // namespace

Stored store_int4(const PackedInt4& packed) {
  const Int4Kernels& kernel = *packed.set->int4;
  Stored stored;
  stored.layout = {4, packed.k, packed.n, packed.block, packed.zeros, kernel.nr, kernel.kr};
  stored.blocks = {{nullptr, packed.panels.data(), packed.panels.size()}};
  return stored;
}

PackedInt4 restore_int4(const KernelSet& set, const Stored& stored, int64_t k, int64_t n,
                        int64_t block, bool zeros) {
  const auto& layout = stored.layout;
  if (layout.size() != kPlaces || stored.blocks.size() != 1 || layout[kBits] != 4)
    throw std::invalid_argument("stored weights are not 4-bit weights");
  if (layout[kDepth] != k || layout[kColumns] != n || layout[kBlock] != block ||
      (layout[kZeros] != 0) != zeros) {
    throw std::invalid_argument(
        "stored 4-bit weights have the sizes " + std::to_string(layout[kDepth]) + " x " +
        std::to_string(layout[kColumns]) + " in blocks of " + std::to_string(layout[kBlock]) +
        ", wanted " + std::to_string(k) + " x " + std::to_string(n) + " in blocks of " +
        std::to_string(block));
  }
  const int64_t nr = layout[kNr];
  const int64_t kr = layout[kKr];
  if (nr < 1 || nr > 4096 || kr < 1 || kr > 16)
    throw std::invalid_argument("stored 4-bit weights have panels of an impossible size");
  const Block& panels = stored.blocks[0];
  PackedInt4 packed = describe_int4(set, k, n, block, zeros);
  need_block(panels, ceil_div(n, nr) * packed.blocks * int4_block_bytes(nr, block, zeros), 1,
             "panels");
  const bool aligned = reinterpret_cast<uintptr_t>(panels.data) % 64 == 0;
  if (nr != set.int4->nr || kr != set.int4->kr || !aligned)
    return repack(set, panels.data, nr, kr, packed);
  packed.panels = AlignedBuffer(panels.owner, panels.data, panels.bytes);
  return packed;
}

}  // namespace pycompress
