#include "gemm/stored.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace pycompress {
namespace {

enum Place { kIsFloat, kTaps, kDepth, kColumns, kNr, kKr, kPlaces };

int64_t panel_bytes(const std::vector<int64_t>& layout) {
  return panel_stride(layout[kTaps] * round_up(layout[kDepth], layout[kKr]) * layout[kNr] *
                      (layout[kIsFloat] != 0 ? 4 : 1));
}

void check(const Stored& stored) {
  constexpr int64_t kLargest = int64_t{1} << 31;
  if (stored.layout.size() != kPlaces || stored.blocks.size() != 3)
    throw std::invalid_argument("stored weights are not a packed matrix");
  int64_t elements = 1;
  for (int place = kTaps; place < kPlaces; ++place) {
    const int64_t value = stored.layout[static_cast<size_t>(place)];
    if (value < 1 || value > kLargest || (place >= kNr && value > 4096) ||
        (place < kNr && __builtin_mul_overflow(elements, value, &elements))) {
      throw std::invalid_argument("stored weights have an impossible size " +
                                  std::to_string(value));
    }
  }
  if (elements > int64_t{1} << 42)
    throw std::invalid_argument("stored weights have an impossible number of elements " +
                                std::to_string(elements));
  const auto& layout = stored.layout;
  const int64_t panels = (layout[kColumns] + layout[kNr] - 1) / layout[kNr];
  need_block(stored.blocks[0], panels, panel_bytes(layout), "panels");
  const int64_t sums = layout[kIsFloat] != 0 ? 0 : layout[kColumns];
  need_block(stored.blocks[1], sums, sizeof(int32_t), "col_sum");
  if (stored.blocks[2].bytes != 0) need_block(stored.blocks[2], sums, sizeof(int32_t), "col_zero");
}

// f(t, k, n, place of the element in the panels)
template <typename F>
void for_each(const std::vector<int64_t>& layout, const F& f) {
  const int64_t nr = layout[kNr];
  const int64_t kr = layout[kKr];
  const int64_t padded = round_up(layout[kDepth], kr);
  const int64_t panel_elements = panel_bytes(layout) / (layout[kIsFloat] != 0 ? 4 : 1);
  for (int64_t n = 0; n < layout[kColumns]; ++n) {
    const int64_t panel = n / nr * panel_elements + n % nr * kr;
    for (int64_t t = 0; t < layout[kTaps]; ++t) {
      for (int64_t k = 0; k < layout[kDepth]; ++k)
        f(t, k, n, panel + (t * padded + k / kr * kr) * nr + k % kr);
    }
  }
}

std::vector<int32_t> integers(const Block& block) {
  std::vector<int32_t> values(block.bytes / sizeof(int32_t));
  if (!values.empty()) std::memcpy(values.data(), block.data, block.bytes);
  return values;
}

Block view(const std::vector<int32_t>& values) {
  return {nullptr, reinterpret_cast<const uint8_t*>(values.data()),
          values.size() * sizeof(int32_t)};
}

}  // namespace

void need_block(const Block& block, int64_t count, int64_t element, const char* what) {
  if (block.bytes == static_cast<size_t>(count * element)) return;
  throw std::invalid_argument("stored weights: " + std::string(what) + " has " +
                              std::to_string(block.bytes) + " bytes, wanted " +
                              std::to_string(count * element));
}

Stored store_b(const PackedB& packed) {
  const GemmKernel& kernel = kernel_of(*packed.set, packed.is_float);
  Stored stored;
  stored.layout = {packed.is_float, packed.taps, packed.k, packed.n, kernel.nr, kernel.kr};
  stored.blocks = {{nullptr, packed.panels.data(), packed.panels.size()},
                   view(packed.col_sum),
                   view(packed.col_zero)};
  return stored;
}

bool has_layout_of(const KernelSet& set, const Stored& stored) {
  check(stored);
  const GemmKernel& kernel = kernel_of(set, stored.layout[kIsFloat] != 0);
  const bool aligned = reinterpret_cast<uintptr_t>(stored.blocks[0].data) % 64 == 0;
  return stored.layout[kNr] == kernel.nr && stored.layout[kKr] == kernel.kr && aligned;
}

Unpacked unpack_b(const Stored& stored) {
  check(stored);
  const auto& layout = stored.layout;
  const auto count = static_cast<size_t>(layout[kTaps] * layout[kDepth] * layout[kColumns]);
  const uint8_t* panels = stored.blocks[0].data;
  const auto at = [&](int64_t t, int64_t k, int64_t n) {
    return static_cast<size_t>((t * layout[kDepth] + k) * layout[kColumns] + n);
  };
  Unpacked out;
  if (layout[kIsFloat] != 0) {
    out.floats.resize(count);
    for_each(layout, [&](int64_t t, int64_t k, int64_t n, int64_t place) {
      std::memcpy(&out.floats[at(t, k, n)], panels + place * 4, sizeof(float));
    });
    return out;
  }
  out.integers.resize(count);
  for_each(layout, [&](int64_t t, int64_t k, int64_t n, int64_t place) {
    out.integers[at(t, k, n)] = static_cast<int8_t>(panels[place]);
  });
  out.zeros = integers(stored.blocks[2]);
  return out;
}

PackedB restore_b(const KernelSet& set, const Stored& stored, bool is_float, int64_t taps,
                  int64_t k, int64_t n) {
  const bool as_it_is = has_layout_of(set, stored);
  const auto& layout = stored.layout;
  if ((layout[kIsFloat] != 0) != is_float || layout[kTaps] != taps || layout[kDepth] != k ||
      layout[kColumns] != n) {
    throw std::invalid_argument(
        "stored weights have the sizes " + std::to_string(layout[kTaps]) + " x " +
        std::to_string(layout[kDepth]) + " x " + std::to_string(layout[kColumns]) + ", wanted " +
        std::to_string(taps) + " x " + std::to_string(k) + " x " + std::to_string(n));
  }
  if (as_it_is) {
    const Block& panels = stored.blocks[0];
    PackedB packed = describe_b(set, is_float, taps, k, n);
    packed.panels = AlignedBuffer(panels.owner, panels.data, panels.bytes);
    packed.col_sum = integers(stored.blocks[1]);
    packed.col_zero = integers(stored.blocks[2]);
    return packed;
  }
  const Unpacked raw = unpack_b(stored);
  if (is_float) return pack_b_f32(set, raw.floats.data(), taps, k, n, k * n, n, 1);
  return pack_b_int8(set, raw.integers.data(), true, taps, k, n, k * n, n, 1,
                     raw.zeros.empty() ? nullptr : raw.zeros.data());
}

}  // namespace pycompress
