// 4-bit weights into panels.
#include <algorithm>
#include <cstring>

#include "int4/int4.h"

namespace pycompress {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One block of one column: its value k, as it is stored.
uint8_t value_at(const uint8_t* bytes, int64_t k) {
  const uint8_t both = bytes[k / 2];
  return k % 2 == 0 ? both & 15 : both >> 4;
}

}  // namespace

PackedInt4 pack_int4(const KernelSet& set, const Int4Weights& w) {
  const Int4Kernels& kernel = *set.int4;
  const int64_t nr = kernel.nr;
  const int64_t kr = kernel.kr;
  PackedInt4 packed;
  packed.set = &set;
  packed.k = w.k;
  packed.n = w.n;
  packed.block = w.block;
  packed.blocks = ceil_div(w.k, w.block);
  packed.zeros = w.zero_point != nullptr;
  const int64_t zero_bytes = packed.zeros ? int4_zeros_bytes(nr) : 0;
  const int64_t block_bytes = nr * 4 + zero_bytes + nr * w.block / 2;
  packed.panel_bytes = static_cast<size_t>(packed.blocks * block_bytes);
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
