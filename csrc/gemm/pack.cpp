// Weights into panels, with the sums that zero points need.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "gemm/gemm.h"
#include "threads/huge_pages.h"

namespace pycompress {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSlack = 256;  // a tile may load a little past the end
constexpr size_t kHugePage = size_t{2} << 20;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

PackedB empty_panels(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n) {
  const GemmKernel& kernel = kernel_of(set, is_float);
  PackedB packed = describe_b(set, is_float, taps, k, n);
  packed.panels =
      AlignedBuffer(packed.panel_bytes * static_cast<size_t>((n + kernel.nr - 1) / kernel.nr));
  std::memset(packed.panels.data(), 0, packed.panels.size());
  return packed;
}

// Rows of B that are copied into one panel before the next: their lines hold other panels' columns.
// Few enough for sums of 16 bits.
constexpr int64_t kRows = 64;
static_assert(kRows * 255 <= std::numeric_limits<int16_t>::max());
constexpr int kColumns = 16;  // what the fast way takes at once: a panel of every set so far

// One tap of one panel: depth k from `b`, element (k, n) at b[k * k_stride + n * n_stride], to
// to[k / kr][n][k % kr].
template <typename From>
struct Source {
  const From* b;
  int64_t k_stride, n_stride;
};

// Calls fill(panel, first column, columns, source, first k, last k, place of the first k) for
// pieces of all panels and taps, in an order that reads rows of B while their lines are in cache.
// Pieces start at multiples of kr.
template <typename From, typename To, typename Fill>
void for_pieces(const PackedB& packed, const GemmKernel& kernel, const From* b, int64_t tap_stride,
                int64_t k_stride, int64_t n_stride, const Fill& fill) {
  static_assert(kRows % 16 == 0, "pieces start at multiples of kr");
  for (int64_t t = 0; t < packed.taps; ++t) {
    for (int64_t k = 0; k < packed.k; k += kRows) {
      for (int64_t first = 0; first < packed.n; first += kernel.nr) {
        auto* panel = reinterpret_cast<To*>(
            packed.panels.data() + static_cast<size_t>(first / kernel.nr) * packed.panel_bytes);
        fill(first, std::min<int64_t>(kernel.nr, packed.n - first),
             Source<From>{b + t * tap_stride + k * k_stride + first * n_stride, k_stride, n_stride},
             std::min(kRows, packed.k - k), panel + (t * packed.k_padded + k) * kernel.nr);
      }
    }
  }
}

// What the epilogue and the check of overflows need of each column.
struct ColumnSums {
  explicit ColumnSums(int64_t n)
      : sum(static_cast<size_t>(n)), worst(static_cast<size_t>(n)), zero(static_cast<size_t>(n)) {}
  std::vector<int64_t> sum, worst;  // of b - b_zero, and of its absolute value
  std::vector<int32_t> zero;        // in the signed domain
};

// Full panels whose columns lie side by side: kKr rows are interleaved at a time.
template <int kKr>
void pack_rows(const Source<uint8_t>& source, int64_t groups, uint8_t flip, uint8_t* to,
               const int32_t* zeros, int64_t* sum, int64_t* worst) {
  int16_t zero[kColumns], total[kColumns] = {}, size[kColumns] = {};
  for (int n = 0; n < kColumns; ++n) zero[n] = static_cast<int16_t>(zeros[n]);
  const uint8_t* b = source.b;
  for (int64_t group = 0; group < groups; ++group, to += kKr * kColumns) {
    uint8_t rows[kKr][kColumns];
    for (int j = 0; j < kKr; ++j, b += source.k_stride) {
      for (int n = 0; n < kColumns; ++n) rows[j][n] = b[n] ^ flip;
      for (int n = 0; n < kColumns; ++n) {
        const auto centred = static_cast<int16_t>(static_cast<int8_t>(rows[j][n]) - zero[n]);
        const auto negative = static_cast<int16_t>(-centred);
        total[n] = static_cast<int16_t>(total[n] + centred);
        size[n] = static_cast<int16_t>(size[n] + (centred < negative ? negative : centred));
      }
    }
    for (int n = 0; n < kColumns; ++n) {
      for (int j = 0; j < kKr; ++j) to[n * kKr + j] = rows[j][n];
    }
  }
  for (int n = 0; n < kColumns; ++n) {
    sum[n] += total[n];
    worst[n] += size[n];
  }
}

using PackRows = void (*)(const Source<uint8_t>&, int64_t, uint8_t, uint8_t*, const int32_t*,
                          int64_t*, int64_t*);

// The fast way for this kernel and these strides, or null.
PackRows pack_rows_of(const GemmKernel& kernel, int64_t n_stride) {
  if (kernel.nr != kColumns || n_stride != 1) return nullptr;
  switch (kernel.kr) {
    case 1:
      return pack_rows<1>;
    case 2:
      return pack_rows<2>;
    case 4:
      return pack_rows<4>;
    case 8:
      return pack_rows<8>;
    default:
      return nullptr;
  }
}

// Any columns and strides, one column after the other.
void pack_columns(const GemmKernel& kernel, const Source<uint8_t>& source, int64_t columns,
                  int64_t first_k, int64_t last_k, uint8_t flip, uint8_t* to, const int32_t* zero,
                  int64_t* sum, int64_t* worst) {
  const int64_t kr = kernel.kr;
  for (int64_t n = 0; n < columns; ++n) {
    const uint8_t* b = source.b + n * source.n_stride;
    int32_t total = 0, size = 0;
    for (int64_t k = first_k; k < last_k; ++k) {
      const int32_t centred = static_cast<int8_t>(b[k * source.k_stride] ^ flip) - zero[n];
      total += centred;
      size += std::abs(centred);
    }
    for (int64_t k = first_k; k < last_k; k += kr) {
      uint8_t* group = to + k * kernel.nr + n * kr;
      const int64_t rest = std::min(kr, last_k - k);
      for (int64_t i = 0; i < rest; ++i) group[i] = b[(k + i) * source.k_stride] ^ flip;
    }
    sum[n] += total;
    worst[n] += size;
  }
}

// The largest |sum| that any A can reach in one column: |a - a_zero| is at most 255, whatever the
// types.
void require_int32(int64_t depth, int64_t worst) {
  constexpr int64_t kMaxA = 255;
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

PackedB pack_b_int8(const KernelSet& set, const void* b, bool b_signed, int64_t taps, int64_t k,
                    int64_t n, int64_t tap_stride, int64_t k_stride, int64_t n_stride,
                    const int32_t* b_zero) {
  const GemmKernel& kernel = set.gemm->s8;
  PackedB packed = empty_panels(set, false, taps, k, n);
  const int32_t shift = b_signed ? 0 : 128;  // u8 becomes s8
  const uint8_t flip = b_signed ? 0 : 0x80;
  ColumnSums columns(n);
  for (size_t i = 0; i < columns.zero.size(); ++i)
    columns.zero[i] = (b_zero == nullptr ? 0 : b_zero[i]) - shift;
  const PackRows rows = pack_rows_of(kernel, n_stride);
  for_pieces<uint8_t, uint8_t>(
      packed, kernel, static_cast<const uint8_t*>(b), tap_stride, k_stride, n_stride,
      [&](int64_t first, int64_t count, const Source<uint8_t>& source, int64_t depth, uint8_t* to) {
        const auto at = static_cast<size_t>(first);
        const int32_t* zero = columns.zero.data() + at;
        int64_t* sum = columns.sum.data() + at;
        int64_t* worst = columns.worst.data() + at;
        int64_t done = 0;
        if (rows != nullptr && count == kColumns) {
          done = depth / kernel.kr * kernel.kr;
          rows(source, depth / kernel.kr, flip, to, zero, sum, worst);
        }
        pack_columns(kernel, source, count, done, depth, flip, to, zero, sum, worst);
      });
  for (const int64_t column : columns.worst) require_int32(taps * k, column);
  packed.col_sum.assign(columns.sum.begin(), columns.sum.end());
  packed.col_zero = std::move(columns.zero);
  if (std::all_of(packed.col_zero.begin(), packed.col_zero.end(),
                  [](int32_t zero) { return zero == 0; })) {
    packed.col_zero.clear();
  }
  return packed;
}

PackedB empty_b_f32(const KernelSet& set, int64_t taps, int64_t k, int64_t n) {
  return empty_panels(set, true, taps, k, n);
}

void fill_b_f32(PackedB* packed, const float* b, int64_t tap_stride, int64_t k_stride,
                int64_t n_stride) {
  const GemmKernel& kernel = packed->set->gemm->f32;
  const int64_t nr = kernel.nr;
  for_pieces<float, float>(
      *packed, kernel, b, tap_stride, k_stride, n_stride,
      [&](int64_t, int64_t count, const Source<float>& source, int64_t depth, float* to) {
        if (n_stride == 1 && nr == kColumns && count == nr) {
          for (int64_t k = 0; k < depth; ++k)
            std::memcpy(to + k * kColumns, source.b + k * k_stride, kColumns * sizeof(float));
          return;
        }
        for (int64_t n = 0; n < count; ++n) {
          const float* from = source.b + n * n_stride;
          for (int64_t k = 0; k < depth; ++k) to[k * nr + n] = from[k * k_stride];
        }
      });
}

PackedB pack_b_f32(const KernelSet& set, const float* b, int64_t taps, int64_t k, int64_t n,
                   int64_t tap_stride, int64_t k_stride, int64_t n_stride) {
  PackedB packed = empty_b_f32(set, taps, k, n);
  fill_b_f32(&packed, b, tap_stride, k_stride, n_stride);
  return packed;
}

}  // namespace pycompress
