// 4-bit weights into panels.
#include <algorithm>
#include <cstring>

#include "int4/int4.h"

namespace pycompress {
namespace {

// One block of one column: its value k, as it is stored.
uint8_t value_at(const uint8_t* bytes, int64_t k) {
  const uint8_t both = bytes[k / 2];
  return k % 2 == 0 ? both & 15 : both >> 4;
}

}  // namespace

PackedInt4 describe_int4(const KernelSet& set, int64_t k, int64_t n, int64_t block, bool zeros) {
  const int64_t nr = set.int4->nr;
  PackedInt4 packed;
  packed.set = &set;
  packed.k = k;
  packed.n = n;
  packed.block = block;
  packed.blocks = ceil_div(k, block);
  packed.zeros = zeros;
  packed.panel_bytes = static_cast<size_t>(packed.blocks * int4_block_bytes(nr, block, zeros));
  return packed;
}

PackedInt4 pack_int4(const KernelSet& set, const Int4Weights& w) {
  const int64_t nr = set.int4->nr;
  const int64_t kr = set.int4->kr;
  PackedInt4 packed = describe_int4(set, w.k, w.n, w.block, w.zero_point != nullptr);
  const int64_t zero_bytes = packed.zeros ? int4_zeros_bytes(nr) : 0;
  const int64_t block_bytes = int4_block_bytes(nr, w.block, packed.zeros);
  packed.panels = AlignedBuffer(packed.panel_bytes * static_cast<size_t>(ceil_div(w.n, nr)));
  std::memset(packed.panels.data(), 0, packed.panels.size());
  for (int64_t column = 0; column < w.n; ++column) {
    const int64_t n = column % nr;
    uint8_t* to = packed.panels.data() + static_cast<size_t>(column / nr) * packed.panel_bytes;
    for (int64_t i = 0; i < packed.blocks; ++i, to += block_bytes) {
      const int64_t at = column * packed.blocks + i;
      std::memcpy(to + n * 4, w.scale + at, 4);
      if (packed.zeros) to[nr * 4 + n] = w.zero_point[at];
      const uint8_t* from = w.data + at * (w.block / 2);
      uint8_t* q = to + nr * 4 + zero_bytes + n * kr;
      for (int64_t k = 0; k < w.block; k += 2 * kr, q += nr * kr) {
        for (int64_t j = 0; j < kr; ++j) {
          q[j] = static_cast<uint8_t>(value_at(from, k + j) | value_at(from, k + kr + j) << 4);
        }
      }
    }
  }
  return packed;
}

}  // namespace pycompress
