#include "bf16/stored.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace pycompress {
namespace {

enum Place { kBits, kTaps, kDepth, kColumns, kNr, kKr, kPlaces };

std::string sizes(int64_t taps, int64_t k, int64_t n) {
  return std::to_string(taps) + " x " + std::to_string(k) + " x " + std::to_string(n);
}

}  // namespace

Stored store_bf16(const PackedBf16& packed) {
  Stored stored;
  stored.layout = {16, packed.taps, packed.k, packed.n, packed.kernel->nr, packed.kernel->kr};
  stored.blocks = {{nullptr, packed.panels.data(), packed.panels.size()}};
  return stored;
}

PackedBf16 restore_bf16(const KernelSet& set, const Stored& stored, int64_t taps, int64_t k,
                        int64_t n) {
  const auto& layout = stored.layout;
  if (layout.size() != kPlaces || stored.blocks.size() != 1 || layout[kBits] != 16)
    throw std::invalid_argument("stored weights are not of bfloat16");
  if (layout[kTaps] != taps || layout[kDepth] != k || layout[kColumns] != n) {
    throw std::invalid_argument("stored bfloat16 weights have the sizes " +
                                sizes(layout[kTaps], layout[kDepth], layout[kColumns]) +
                                ", wanted " + sizes(taps, k, n));
  }
  const int64_t nr = layout[kNr];
  const int64_t kr = layout[kKr];
  if (nr < 1 || nr > 4096 || kr < 1 || kr > 16)
    throw std::invalid_argument("stored bfloat16 weights have panels of an impossible size");
  const int64_t padded = ceil_div(k, kr) * kr;
  const Block& panels = stored.blocks[0];
  need_block(panels, ceil_div(n, nr) * taps * padded * nr, sizeof(uint16_t), "panels");
  PackedBf16 packed = describe_bf16(set, taps, k, n);
  const bool aligned = reinterpret_cast<uintptr_t>(panels.data) % 64 == 0;
  if (nr == packed.kernel->nr && kr == packed.kernel->kr && aligned) {
    packed.panels = AlignedBuffer(panels.owner, panels.data, panels.bytes);
    return packed;
  }
  std::vector<float> floats(static_cast<size_t>(taps * k * n));
  size_t at = 0;
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t column = 0; column < n; ++column, ++at) {
        const int64_t panel = column / nr * taps * padded * nr;
        const int64_t place = panel + (t * padded + i / kr * kr) * nr + column % nr * kr + i % kr;
        uint16_t half;
        std::memcpy(&half, panels.data + place * static_cast<int64_t>(sizeof(half)), sizeof(half));
        const uint32_t bits = static_cast<uint32_t>(half) << 16;
        std::memcpy(&floats[at], &bits, sizeof(bits));
      }
    }
  }
  return pack_bf16(set, floats.data(), taps, k, n, k * n, n, 1);
}

}  // namespace pycompress
