// Weights into panels, with the sums that zero points need.

#include "gemm/pack.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "gemm/gemm.h"
#include "pack/table.h"
#include "threads/huge_pages.h"

namespace pycompress {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSlack = 256;  // a tile may load a little past the end
constexpr size_t kHugePage = size_t{2} << 20;

// The sum of a word's four signed bytes.
uint32_t sum_of_bytes(uint32_t word) {
  const auto at = [&](int left) { return static_cast<int32_t>(word << left) >> 24; };
  return static_cast<uint32_t>(at(24) + at(16) + at(8) + at(0));
}

// Four bytes of depth for each column: word(n) gives those of column n, the first in the low byte.
template <typename Word>
void fill_quad(int64_t columns, uint32_t flip, const Word& word, int8_t* to, uint32_t* sums) {
  for (int64_t n = 0; n < columns; ++n) {
    const uint32_t bytes = word(n) ^ flip;
    std::memcpy(to + 4 * n, &bytes, 4);
    sums[n] += sum_of_bytes(bytes);
  }
}

// Where the bytes of a matrix lie: element (t, k, n) at data[t * tap_stride + k * k_stride + n *
// n_stride].
struct Bytes {
  const uint8_t* data;
  int64_t tap_stride, k_stride, n_stride;
  uint8_t flip;  // is XORed onto them
};

// Copies the bytes of tap t and columns first..last - 1, which begin with a panel, to their place
// and adds them, as int8, to sums. Sums wrap: one that leaves int32 is refused later.
void fill_portably(const PackedB& packed, const GemmKernel& kernel, const Bytes& b, int64_t t,
                   int64_t first, int64_t last, uint32_t* sums) {
  // Copies: what is written could be these, for all that the compiler knows.
  const int64_t kr = kernel.kr, nr = kernel.nr;
  const int64_t depth = packed.k, padded = packed.k_padded;
  const int64_t k_stride = b.k_stride, n_stride = b.n_stride;
  const auto panel_bytes = static_cast<int64_t>(packed.panel_bytes);
  auto* const panels = reinterpret_cast<int8_t*>(packed.panels.data());
  const uint8_t flip = b.flip;
  const uint32_t flip4 = flip * 0x01010101u;
  sums += first;
  for (; first < last; first += nr, sums += nr) {
    int8_t* panel = panels + first / nr * panel_bytes;
    const int64_t columns = std::min<int64_t>(nr, last - first);
    for (int64_t k = 0; k < depth; k += kr) {
      int8_t* to = panel + (t * padded + k) * nr;
      const uint8_t* from = b.data + t * b.tap_stride + k * k_stride + first * n_stride;
      const auto joined = [&](const uint8_t* at) {
        return uint32_t{at[0]} | uint32_t{at[k_stride]} << 8 | uint32_t{at[2 * k_stride]} << 16 |
               uint32_t{at[3 * k_stride]} << 24;
      };
      if (kr != 4 || k + 4 > depth) {
        for (int64_t n = 0; n < columns; ++n) {
          for (int64_t i = 0; i < std::min(kr, depth - k); ++i) {
            const uint8_t byte = from[n * n_stride + i * k_stride] ^ flip;
            to[n * kr + i] = static_cast<int8_t>(byte);
            sums[n] += static_cast<uint32_t>(static_cast<int8_t>(byte));
          }
        }
      } else if (k_stride == 1) {
        const auto whole = [&](int64_t n) {
          uint32_t word;
          std::memcpy(&word, from + n * n_stride, 4);
          return word;
        };
        fill_quad(columns, flip4, whole, to, sums);
      } else if (n_stride == 1) {
        fill_quad(columns, flip4, [&](int64_t n) { return joined(from + n); }, to, sums);
      } else {
        fill_quad(columns, flip4, [&](int64_t n) { return joined(from + n * n_stride); }, to, sums);
      }
    }
  }
}

const PackKernel* pack_kernel_of(const KernelSet& set) {
  for (const PackRow& row : kAllPack) {
    if (row.isa != nullptr && std::strcmp(row.isa, set.name) == 0) return row.kernel;
  }
  return nullptr;
}

// All taps of columns first..last - 1, with the set's own kernel where it has one for such strides.
void fill_columns(const PackedB& packed, const Bytes& b, int64_t first, int64_t last,
                  uint32_t* sums) {
  const GemmKernel& kernel = packed.set->gemm->s8;
  const bool in_line = b.k_stride == 1 || b.n_stride == 1;
  const PackKernel* pack = in_line ? pack_kernel_of(*packed.set) : nullptr;
  for (int64_t t = 0; t < packed.taps; ++t) {
    if (pack == nullptr) {
      fill_portably(packed, kernel, b, t, first, last, sums);
      continue;
    }
    const auto panel_bytes = static_cast<int64_t>(packed.panel_bytes);
    PackArgs args;
    args.b = b.data + t * b.tap_stride + first * b.n_stride;
    args.k_stride = b.k_stride;
    args.n_stride = b.n_stride;
    args.k = packed.k;
    args.n = last - first;
    args.flip = b.flip;
    args.panels = reinterpret_cast<int8_t*>(packed.panels.data()) +
                  first / kernel.nr * panel_bytes + t * packed.k_padded * kernel.nr;
    args.panel_bytes = panel_bytes;
    args.sums = sums + first;
    pack->run(args);
  }
}

// Bytes of B that are worth another thread, and how many columns such a part has at least.
constexpr int64_t kFillBytes = 64 * 1024, kFillColumns = 64;

void fill_bytes(const PackedB& packed, const Bytes& b, uint32_t* sums, ThreadPool* pool) {
  const int64_t bytes = packed.taps * packed.k * packed.n;
  const int64_t parts = pool == nullptr ? 1 : std::min<int64_t>(bytes / kFillBytes, pool->size());
  const int64_t share = ceil_div(packed.n, std::max<int64_t>(1, parts));
  const int64_t step = round_up(std::max<int64_t>(1, share), kFillColumns);
  parallel_for(pool, ceil_div(packed.n, step), [&](int64_t part, int) {
    fill_columns(packed, b, part * step, std::min(packed.n, (part + 1) * step), sums);
  });
}

// The largest |sum| that any A can reach in one column: |a - a_zero| is at most 255, whatever the
// types.
constexpr int64_t kMaxA = 255;
constexpr int64_t kSafeDepth = std::numeric_limits<int32_t>::max() / (kMaxA * 255);

void require_int32(int64_t depth, int64_t worst) {
  if (worst <= std::numeric_limits<int32_t>::max() / kMaxA) return;
  throw std::invalid_argument(
      "gemm: depth " + std::to_string(depth) +
      " with these weights can leave int32: sum(|b - b_zero|) * 255 reaches " +
      std::to_string(worst * kMaxA) +
      " in one column, more than 2147483647 (a depth of 66311 is safe for weights in [-127, 127])");
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const size_t total = (bytes + kSlack + kAlignment - 1) / kAlignment * kAlignment;
  data_.reset(static_cast<uint8_t*>(::operator new(total, std::align_val_t(alignment))),
              [alignment](uint8_t* p) { ::operator delete(p, std::align_val_t(alignment)); });
  // A wish: without huge pages the block is as good, and slower to read.
  if (alignment == kHugePage) wish_huge_pages(data_.get(), total / kHugePage * kHugePage);
}

PackedB describe_b(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n) {
  const GemmKernel& kernel = kernel_of(set, is_float);
  PackedB packed;
  packed.set = &set;
  packed.is_float = is_float;
  packed.taps = taps;
  packed.k = k;
  packed.n = n;
  packed.k_padded = round_up(k, kernel.kr);
  packed.panel_bytes =
      static_cast<size_t>(panel_stride(taps * packed.k_padded * kernel.nr * (is_float ? 4 : 1)));
  return packed;
}

PackedB empty_b(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n) {
  const GemmKernel& kernel = kernel_of(set, is_float);
  PackedB packed = describe_b(set, is_float, taps, k, n);
  packed.panels =
      AlignedBuffer(packed.panel_bytes * static_cast<size_t>((n + kernel.nr - 1) / kernel.nr));
  std::memset(packed.panels.data(), 0, packed.panels.size());
  return packed;
}

PackedB pack_b_int8(const KernelSet& set, const void* b, bool b_signed, int64_t taps, int64_t k,
                    int64_t n, int64_t tap_stride, int64_t k_stride, int64_t n_stride,
                    const int32_t* b_zero) {
  PackedB packed = empty_b(set, false, taps, k, n);
  fill_b_int8(&packed, b, b_signed, tap_stride, k_stride, n_stride, b_zero);
  return packed;
}

void fill_b_int8(PackedB* packed, const void* b, bool b_signed, int64_t tap_stride,
                 int64_t k_stride, int64_t n_stride, const int32_t* b_zero) {
  fill_b_int8(packed, b, b_signed, tap_stride, k_stride, n_stride, b_zero, nullptr);
}

void fill_b_int8(PackedB* into, const void* b, bool b_signed, int64_t tap_stride, int64_t k_stride,
                 int64_t n_stride, const int32_t* b_zero, ThreadPool* pool) {
  PackedB& packed = *into;
  const GemmKernel& kernel = packed.set->gemm->s8;
  const int64_t taps = packed.taps, k = packed.k, n = packed.n;
  const int32_t shift = b_signed ? 0 : 128;  // u8 becomes s8
  const auto zero = [&](int64_t column) { return b_zero == nullptr ? 0 : b_zero[column]; };
  const auto* bytes = static_cast<const uint8_t*>(b);
  thread_local std::vector<uint32_t> sum;  // an allocation costs as much as a small matrix
  sum.assign(static_cast<size_t>(round_up(n, kernel.nr)), 0);
  const uint8_t flip = b_signed ? 0 : 0x80;
  fill_bytes(packed, {bytes, tap_stride, k_stride, n_stride, flip}, sum.data(), pool);
  // |b - b_zero| is at most 255, so that only a great depth needs looking into.
  for (int64_t column = 0; taps * k > kSafeDepth && column < n; ++column) {
    int64_t worst = 0;
    for (int64_t i = 0; i < taps * k; ++i) {
      const uint8_t byte = bytes[i / k * tap_stride + i % k * k_stride + column * n_stride];
      worst += std::abs((b_signed ? static_cast<int8_t>(byte) : byte) - zero(column));
    }
    require_int32(taps * k, worst);
  }
  packed.col_sum.resize(static_cast<size_t>(n));
  for (int64_t column = 0; column < n; ++column) {
    packed.col_sum[static_cast<size_t>(column)] = static_cast<int32_t>(
        sum[static_cast<size_t>(column)] +
        static_cast<uint32_t>(taps * k) * static_cast<uint32_t>(shift - zero(column)));
  }
  packed.col_zero.clear();
  if (b_zero == nullptr && shift == 0) return;
  packed.col_zero.resize(static_cast<size_t>(n));
  for (size_t i = 0; i < packed.col_zero.size(); ++i)
    packed.col_zero[i] = zero(static_cast<int64_t>(i)) - shift;
  if (std::all_of(packed.col_zero.begin(), packed.col_zero.end(),
                  [](int32_t left) { return left == 0; })) {
    packed.col_zero.clear();
  }
}

namespace {

using Quad = float __attribute__((vector_size(16)));

Quad load_quad(const float* p) {
  Quad v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// to[i][n] = from[n][i] for `columns` rows of `depth` values, in squares of four by four.
void turn(const float* from, int64_t ld, int64_t columns, int64_t depth, float* to, int64_t nr) {
  int64_t n = 0;
  for (; n + 4 <= columns; n += 4) {
    const float* row = from + n * ld;
    int64_t i = 0;
    for (; i + 4 <= depth; i += 4) {
      const Quad a = load_quad(row + i);
      const Quad b = load_quad(row + ld + i);
      const Quad c = load_quad(row + 2 * ld + i);
      const Quad d = load_quad(row + 3 * ld + i);
      const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      const Quad turned[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                              __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                              __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                              __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
      for (int j = 0; j < 4; ++j) std::memcpy(to + (i + j) * nr + n, &turned[j], sizeof(Quad));
    }
    for (; i < depth; ++i) {
      for (int64_t j = 0; j < 4; ++j) to[i * nr + n + j] = row[j * ld + i];
    }
  }
  for (; n < columns; ++n) {
    for (int64_t i = 0; i < depth; ++i) to[i * nr + n] = from[n * ld + i];
  }
}

}  // namespace

void fill_b_f32(PackedB* packed, const float* b, int64_t tap_stride, int64_t k_stride,
                int64_t n_stride) {
  // Rows that are copied into one panel before the next: their lines hold other panels' columns.
  constexpr int64_t kRows = 64;
  constexpr int64_t kColumns = 16;  // a panel of every set so far: its size is known here
  const int64_t nr = packed->set->gemm->f32.nr;
  auto* panels = reinterpret_cast<float*>(packed->panels.data());
  const auto panel_step = static_cast<int64_t>(packed->panel_bytes / sizeof(float));
  for (int64_t t = 0; t < packed->taps; ++t) {
    for (int64_t k = 0; k < packed->k; k += kRows) {
      const int64_t depth = std::min(kRows, packed->k - k);
      for (int64_t first = 0; first < packed->n; first += nr) {
        const float* from = b + t * tap_stride + k * k_stride + first * n_stride;
        float* to = panels + first / nr * panel_step + (t * packed->k_padded + k) * nr;
        const int64_t columns = std::min(nr, packed->n - first);
        if (n_stride == 1 && nr == kColumns && columns == nr) {
          for (int64_t i = 0; i < depth; ++i)
            std::memcpy(to + i * kColumns, from + i * k_stride, kColumns * sizeof(float));
          continue;
        }
        if (k_stride == 1) {
          turn(from, n_stride, columns, depth, to, nr);
          continue;
        }
        for (int64_t n = 0; n < columns; ++n) {
          for (int64_t i = 0; i < depth; ++i) to[i * nr + n] = from[n * n_stride + i * k_stride];
        }
      }
    }
  }
}

PackedB pack_b_f32(const KernelSet& set, const float* b, int64_t taps, int64_t k, int64_t n,
                   int64_t tap_stride, int64_t k_stride, int64_t n_stride) {
  PackedB packed = empty_b(set, true, taps, k, n);
  fill_b_f32(&packed, b, tap_stride, k_stride, n_stride);
  return packed;
}

}  // namespace pycompress
