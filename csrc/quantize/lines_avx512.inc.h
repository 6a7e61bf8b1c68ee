// Aligned loads and aligned stores, wherever x and q begin.
//
// x and its bytes are rarely aligned at the same element, and what crosses cache lines costs a
// fifth of the speed of either. x is read from an aligned element on; its bytes go from one line of
// q into the next, and the permutation that puts packed bytes in order takes them from two packs at
// once:
//
//   x       | 0 .. 63           | 64 .. 127         |          aligned
//   q       .......| 0 ..          63 | 64 ..        |          `shift` dwords into a line
//   stored         | of pack 0        | rest of pack 0, of pack 1 |
#pragma once
#include "kernels.h"
#include "quantize/quantize_run.inc.h"

namespace pycompress {
namespace {

// Whether the bytes of runs, `apart` from each other, are whole dwords off, and the same ones. It
// pays where bytes go around the caches: stores that do have to be aligned.
inline bool can_shift(const float* x, int64_t n, int64_t apart, const void* q) {
  constexpr int64_t kShortest = 512;
  const auto at = reinterpret_cast<uintptr_t>(q) + static_cast<uintptr_t>(until_aligned(x));
  return n >= kShortest && at % 4 == 0 && apart % kFour == 0;
}

// kRuns runs, `apart` from each other, whose x is aligned: begin(), then blocks() on to `count`
// elements, whole fours, then finish(). What divides comes as fours: divide(x, run, vector),
// zeros_of(run).
template <int kRuns, typename Byte>
class ShiftedStream {
 public:
  ShiftedStream(const float* x, int64_t apart, Byte* q)
      : x_(x),
        apart_(apart),
        shift_(static_cast<int32_t>((reinterpret_cast<uintptr_t>(q) & (kFour - 1)) / 4)),
        line_(q - 4 * shift_) {
    const __m512i lane =
        _mm512_sub_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(shift_));
    // Bit 4 picks the second operand, the newer pack; lanes below 0 come from the older one.
    order_ = _mm512_xor_si512(
        _mm512_permutexvar_epi32(lane, packed_order()),
        _mm512_maskz_set1_epi32(_mm512_cmpge_epi32_mask(lane, _mm512_setzero_si512()), 16));
  }

  template <typename Four>
  [[gnu::always_inline]] void begin(const Four& four) {
#pragma GCC unroll 16
    for (int r = 0; r < kRuns; ++r) {
      last_[r] = pack(r, 0, four);
      _mm512_mask_storeu_epi32(line_ + r * apart_, static_cast<__mmask16>(~older()),
                               _mm512_permutex2var_epi32(last_[r], order_, last_[r]));
    }
  }

  // by(i): the four from element i on, asked for in order.
  template <typename By>
  [[gnu::always_inline]] void blocks(int64_t i, int64_t end, By& by) {
    for (; i < end; i += kFour) {
      const auto& four = by(i);
#pragma GCC unroll 16
      for (int r = 0; r < kRuns; ++r) {
        const __m512i newer = pack(r, i, four);
        store_line<true>(line_ + r * apart_ + i,
                         _mm512_permutex2var_epi32(last_[r], order_, newer));
        last_[r] = newer;
      }
    }
  }

  [[gnu::always_inline]] void finish(int64_t count) const {
#pragma GCC unroll 16
    for (int r = 0; r < kRuns; ++r) {
      _mm512_mask_storeu_epi32(line_ + r * apart_ + count, older(),
                               _mm512_permutex2var_epi32(last_[r], order_, last_[r]));
    }
  }

 private:
  __mmask16 older() const { return static_cast<__mmask16>((1u << shift_) - 1u); }

  template <typename Four>
  [[gnu::always_inline]] __m512i pack(int r, int64_t i, const Four& four) const {
    const float* from = x_ + r * apart_ + i;
    const I32 a = to_i32(bounded(four.divide(load(from), r, 0)));
    const I32 b = to_i32(bounded(four.divide(load(from + kLanes), r, 1)));
    const I32 c = to_i32(bounded(four.divide(load(from + 2 * kLanes), r, 2)));
    const I32 d = to_i32(bounded(four.divide(load(from + 3 * kLanes), r, 3)));
    return pack4(a, b, c, d, four.zeros_of(r), line_);
  }

  const float* x_;
  int64_t apart_;
  int32_t shift_;
  Byte* line_;
  __m512i order_;
  __m512i last_[kRuns];
};

template <int kRuns, typename Byte, typename By>
[[gnu::noinline]] void stream_shifted(const float* x, int64_t count, int64_t apart, By by,
                                      Byte* q) {
  ShiftedStream<kRuns, Byte> stream(x, apart, q);
  By fours = by;  // a copy that stores of bytes can't change
  stream.begin(fours(0));
  stream.blocks(kFour, count, fours);
  stream.finish(count);
}

// ---- rows ---------------------------------------------------------------------------------------

constexpr int kPlaces = 4;  // memory is read faster in several places at once

// The scales of a row in each place.
struct PlacesRows {
  Products products[kPlaces];
  int32_t zero[kPlaces];
  Zeros4 zeros[kPlaces];

  PlacesRows(const QuantizeArgs& args, int64_t row, int64_t rows_apart) {
    for (int p = 0; p < kPlaces; ++p) {
      const int64_t at = row + p * rows_apart;
      products[p] = Products{invert(set1(args.scale[at]))};
      zero[p] = args.zero[at];
      zeros[p] = zeros4(zero[p]);
    }
  }
  const PlacesRows& operator()(int64_t) const { return *this; }
  F32 divide(F32 x, int place, int) const { return products[place](x); }
  const Zeros4& zeros_of(int place) const { return zeros[place]; }
};

// Four vectors whose first `at` elements are of one row, the others of the next.
struct EndOfRows {
  Inverse inverses[kPlaces][4];
  Zeros4 zeros[kPlaces];

  EndOfRows(const PlacesRows& row, const PlacesRows& next, int64_t at) {
    __mmask16 after[4];
    for (int v = 0; v < 4; ++v) {
      const int64_t n = at - v * kLanes;
      after[v] = static_cast<__mmask16>(~first_lanes(n < 0 ? 0 : least(n, kLanes)));
    }
    for (int p = 0; p < kPlaces; ++p) {
      const Inverse a = row.products[p].inverse;
      const Inverse b = next.products[p].inverse;
      I32 zero[4];
      for (int v = 0; v < 4; ++v) {
        inverses[p][v] = {{_mm512_mask_mov_ps(a.reciprocal.v, after[v], b.reciprocal.v)},
                          {_mm512_mask_mov_ps(a.rest.v, after[v], b.rest.v)}};
        zero[v].v = _mm512_mask_set1_epi32(_mm512_set1_epi32(row.zero[p]), after[v], next.zero[p]);
      }
      zeros[p] = zeros4(zero[0], zero[1], zero[2], zero[3]);
    }
  }
  const EndOfRows& operator()(int64_t) const { return *this; }
  F32 divide(F32 x, int place, int vector) const { return times(x, inverses[place][vector]); }
  const Zeros4& zeros_of(int place) const { return zeros[place]; }
};

// A row in as many places, or rows in each of them, one after the other.
template <typename Byte>
bool stream_rows(const QuantizeArgs& args) {
  const bool one = args.rows == 1;
  const int64_t rows = one ? 1 : args.rows / kPlaces;
  const int64_t apart = one ? args.n / kPlaces / kFour * kFour : rows * args.n;
  auto* q = static_cast<Byte*>(args.q);
  if (rows == 0 || (!one && args.ld != args.n) ||
      !can_shift(args.x, one ? args.n / kPlaces : args.n, apart, q)) {
    return false;
  }
  for (int64_t r = 0; r < args.rows; ++r) {
    if (!two_products_are_exact(args.scale[r])) return false;
  }
  const int64_t rows_apart = one ? 0 : rows;
  const int64_t first = until_aligned(args.x);
  const int64_t count = (apart - first) / kFour * kFour;
  PlacesRows row(args, 0, rows_apart);
  ShiftedStream<kPlaces, Byte> stream(args.x + first, apart, q + first);
  stream.begin(row);
  int64_t i = kFour;
  for (int64_t r = 1; r < rows; ++r) {
    const int64_t end = r * args.n - first;
    const int64_t whole = end / kFour * kFour;
    stream.blocks(i, whole, row);
    i = whole;
    const PlacesRows next(args, r, rows_apart);
    if (whole < end) {
      const EndOfRows both(row, next, end - whole);
      stream.blocks(i, i + kFour, both);
      i += kFour;
    }
    row = next;
  }
  stream.blocks(i, count, row);
  stream.finish(count);

  const auto run = [&](int64_t r, int64_t from, int64_t to) {
    const Products products{invert(set1(args.scale[r]))};
    quantize_run<false>(args.x + from, to - from, products, args.zero[r], q + from);
  };
  for (int p = 0; p < kPlaces; ++p) {
    run(p * rows_apart, p * apart, p * apart + first);
    run(p * rows_apart + rows - 1, p * apart + first + count, (p + 1) * apart);
  }
  if (one) run(0, kPlaces * apart, args.n);
  for (int64_t r = kPlaces * rows; !one && r < args.rows; ++r) run(r, r * args.n, (r + 1) * args.n);
  return true;
}

}  // namespace
}  // namespace pycompress
