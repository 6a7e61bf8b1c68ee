// Quantizing by a scale for each column, over the names of a simd/ header.
#pragma once
#include "quantize/quantize_rows.inc.h"

namespace pycompress {
namespace {

constexpr int64_t kBlock = 8192;      // columns whose inverses are kept at a time
constexpr int64_t kInL1 = 1536;       // columns whose inverses stay in L1
constexpr int64_t kRowsToInvert = 4;  // inverting costs as much as some rows

template <typename Byte>
inline void divide_by_each(const float* x, int64_t n, const float* scale, const int32_t* zero,
                           Byte* q) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 v = div(load(x + i), load(scale + i));
    store_sat(q + i, add(to_i32_bounded(v), load(zero + i)));
  }
  if (i < n) {
    const int64_t left = n - i;
    // Lanes past the end divide 0 by 0; nothing is stored of them.
    const F32 v = div(load_partial(x + i, left), load_partial(scale + i, left));
    store_sat_partial(q + i, left, add(to_i32_bounded(v), load_partial(zero + i, left)));
  }
}

// What is needed of a block of n columns, those of column i at i + shift, so that they and x are
// aligned at the same columns; after the last come the first again, for vectors that go on into the
// next row.
struct Columns {
  alignas(64) float reciprocal[kBlock + kFour + kLanes];
  alignas(64) float rest[kBlock + kFour + kLanes];
  alignas(64) int32_t zero[kBlock + kFour + kLanes];
  int64_t n, shift;
  bool one_zero;

  Inverse inverse(int64_t i) const {
    return {load(reciprocal + shift + i), load(rest + shift + i)};
  }
  I32 zeros(int64_t i) const { return load(zero + shift + i); }
};

// Four vectors of columns.
struct FourColumns {
  Inverse inverses[4];
  Zeros4 zeros;
  F32 divide(F32 x, int, int vector) const { return times(x, inverses[vector]); }
  const Zeros4& zeros_of(int) const { return zeros; }
};

// The columns from `column` on, as stream_shifted() wants them.
template <bool kOneZero>
struct ColumnAfterColumn {
  const Columns& by;
  int64_t column;
  Zeros4 zeros;

  [[gnu::always_inline]] FourColumns operator()(int64_t) {
    FourColumns four{{by.inverse(column), by.inverse(column + kLanes),
                      by.inverse(column + 2 * kLanes), by.inverse(column + 3 * kLanes)},
                     zeros};
    if (!kOneZero) {
      four.zeros = zeros4(by.zeros(column), by.zeros(column + kLanes),
                          by.zeros(column + 2 * kLanes), by.zeros(column + 3 * kLanes));
    }
    column += kFour;
    column = column >= by.n ? column - by.n : column;
    return four;
  }
};

// False where one of the scales has to divide. The first `lead` elements come before x is aligned.
inline bool describe_columns(const float* scale, const int32_t* zero, int64_t n, int64_t lead,
                             Columns* by) {
  bool exact = true;
  bool one_zero = true;
  for (int64_t i = 0; i < n; ++i) {
    exact = exact & two_products_are_exact(scale[i]);
    one_zero = one_zero & (zero[i] == zero[0]);
  }
  if (!exact) return false;
  by->n = n;
  by->shift = (kLanes - lead % kLanes) % kLanes;
  by->one_zero = one_zero;
  float* reciprocal = by->reciprocal + by->shift;
  float* rest = by->rest + by->shift;
  int32_t* zeros = by->zero + by->shift;
  invert_all(scale, n, reciprocal, rest);
  for (int64_t i = 0; i < n; ++i) zeros[i] = zero[i];
  for (int64_t i = 0; i < kFour; ++i) {
    reciprocal[n + i] = reciprocal[i];
    rest[n + i] = rest[i];
    zeros[n + i] = zeros[i];
  }
  return true;
}

// Elements [i, end) of a run that begins in the first column, fewer than four vectors.
template <typename Byte>
inline void quantize_few_columns(const float* x, int64_t i, int64_t end, const Columns& by,
                                 Byte* q) {
  int64_t column = i % by.n;
  for (; i + kLanes <= end; i += kLanes) {
    const F32 v = times(load(x + i), by.inverse(column));
    store_sat(q + i, add(to_i32_bounded(v), by.zeros(column)));
    column += kLanes;
  }
  if (i < end) {
    const F32 v = times(load_partial(x + i, end - i), by.inverse(column));
    store_sat_partial(q + i, end - i, add(to_i32_bounded(v), by.zeros(column)));
  }
}

// kRuns runs of `count` elements, `apart` from each other, from the first column on and through as
// many rows as they are long. Each is read in order, and they share what is loaded of the columns.
template <int kRuns, bool kStream, bool kOneZero, typename Byte>
inline void quantize_runs(const float* x, int64_t count, int64_t apart, int64_t lead,
                          const Columns& by, Byte* q) {
  const int64_t first = least(lead, count);
  ColumnAfterColumn<kOneZero> columns{by, first % by.n, zeros4(by.zero[by.shift])};
  int64_t i = first;
  if (kStream && until_aligned(x) == lead && can_shift(x, count, apart, q)) {
    i += (count - first) / kFour * kFour;
    stream_shifted<kRuns>(x + first, i - first, apart, columns, q + first);
  } else {
    for (; i + kFour <= count; i += kFour) {
      const FourColumns four = columns(i);
#pragma GCC unroll 16
      for (int r = 0; r < kRuns; ++r) {
        const float* from = x + r * apart + i;
        const I32 a = to_i32(bounded(four.divide(load(from), r, 0)));
        const I32 b = to_i32(bounded(four.divide(load(from + kLanes), r, 1)));
        const I32 c = to_i32(bounded(four.divide(load(from + 2 * kLanes), r, 2)));
        const I32 d = to_i32(bounded(four.divide(load(from + 3 * kLanes), r, 3)));
        store_sat4<kStream>(q + r * apart + i, a, b, c, d, four.zeros);
      }
    }
  }
  for (int r = 0; r < kRuns; ++r) {
    quantize_few_columns(x + r * apart, 0, first, by, q + r * apart);
    quantize_few_columns(x + r * apart, i, count, by, q + r * apart);
  }
}

template <int kRuns, bool kStream, typename Byte>
inline void quantize_runs(const float* x, int64_t count, int64_t apart, int64_t lead,
                          const Columns& by, Byte* q) {
  if (by.one_zero) {
    quantize_runs<kRuns, kStream, true>(x, count, apart, lead, by, q);
  } else {
    quantize_runs<kRuns, kStream, false>(x, count, apart, lead, by, q);
  }
}

template <bool kStream, typename Byte>
inline void quantize_by_columns(const float* x, int64_t rows, int64_t ld, int64_t lead,
                                const Columns& by, Byte* q) {
  // Rows that share what L2 gives of the columns, or what memory gives at a time; not so many where
  // a line is written around the caches in parts.
  constexpr int kTogether = kStream && kFour < 64 ? 4 : 6;
  // Rows without gaps are one run.
  const bool joined = ld == by.n && by.n >= kFour;
  const int64_t apart = joined && by.n <= kInL1 && !kStream ? 0 : rows / kTogether;
  const int64_t steps = joined ? least(apart, 1) : apart;
  for (int64_t r = 0; r < steps; ++r) {
    quantize_runs<kTogether, kStream>(x + r * ld, joined ? apart * ld : by.n, apart * ld, lead, by,
                                      q + r * ld);
  }
  const int64_t done = kTogether * apart;
  if (joined && done < rows) {
    quantize_runs<1, kStream>(x + done * ld, (rows - done) * ld, 0, lead, by, q + done * ld);
  } else {
    for (int64_t r = done; r < rows; ++r) {
      quantize_runs<1, kStream>(x + r * ld, by.n, 0, lead, by, q + r * ld);
    }
  }
}

template <typename Byte>
void quantize_columns(const QuantizeArgs& args) {
  Columns by;
  int64_t n = 0;
  for (int64_t start = 0; start < args.n; start += n) {
    n = least(args.n - start, kBlock);
    const float* x = args.x + start;
    auto* q = static_cast<Byte*>(args.q) + start;
    const float* scale = args.scale + start;
    const int32_t* zero = args.zero + start;
    const bool stream = args.stream && args.ld % kFour == 0;
    const bool by_q = stream && !can_shift(x, n, args.ld, q);
    const int64_t lead = by_q ? until_aligned(static_cast<const void*>(q)) : until_aligned(x);
    // Inverting costs as much as some rows.
    if (args.rows < kRowsToInvert || !describe_columns(scale, zero, n, lead, &by)) {
      for (int64_t r = 0; r < args.rows; ++r) {
        divide_by_each(x + r * args.ld, n, scale, zero, q + r * args.ld);
      }
    } else if (stream) {
      quantize_by_columns<true>(x, args.rows, args.ld, lead, by, q);
    } else {
      quantize_by_columns<false>(x, args.rows, args.ld, lead, by, q);
    }
  }
  if (args.stream) streams_done();
}

}  // namespace
}  // namespace pycompress
