// Bytes into panels of 16 columns by kKr (1, 4 or 8) of depth, for the sets of AArch64.
//
// Both ways are perfect shuffles: a round zips the first half of the vectors with the second, which
// turns the digits of an element's place by one.
//
//   B in rows (n_stride 1): kKr rows of 16 bytes.     place [row][column]     -> [column][row]
//   B in columns (k_stride 1, as the keys of attention are): 16 of depth of 16 / kKr columns, in
//   words of kKr bytes.                               place [column][k / kKr] -> [k / kKr][column]
//
// A set says with a type `Sum` how the bytes of a vector are added up for their columns.
#pragma once
#include <arm_neon.h>

#include "pack/pack.h"

namespace pycompress {
namespace {

constexpr int64_t kVector = 16;  // bytes; and columns of a panel
constexpr int64_t kBlock = 256;  // of depth, whose sums go into 16 bits

template <int kBytes>
struct Words;
template <>
struct Words<1> {
  using Vector = uint8x16_t;
};
template <>
struct Words<4> {
  using Vector = uint32x4_t;
};
template <>
struct Words<8> {
  using Vector = uint64x2_t;
};

[[gnu::always_inline]] inline uint8x16_t zip_low(uint8x16_t a, uint8x16_t b) {
  return vzip1q_u8(a, b);
}
[[gnu::always_inline]] inline uint32x4_t zip_low(uint32x4_t a, uint32x4_t b) {
  return vzip1q_u32(a, b);
}
[[gnu::always_inline]] inline uint64x2_t zip_low(uint64x2_t a, uint64x2_t b) {
  return vzip1q_u64(a, b);
}
[[gnu::always_inline]] inline uint8x16_t zip_high(uint8x16_t a, uint8x16_t b) {
  return vzip2q_u8(a, b);
}
[[gnu::always_inline]] inline uint32x4_t zip_high(uint32x4_t a, uint32x4_t b) {
  return vzip2q_u32(a, b);
}
[[gnu::always_inline]] inline uint64x2_t zip_high(uint64x2_t a, uint64x2_t b) {
  return vzip2q_u64(a, b);
}

// Element j of vector i, of kCount, goes to place j * kCount + i.
template <int kRounds, typename Vector, int kCount>
[[gnu::always_inline]] inline void shuffle(Vector (&v)[kCount]) {
  if constexpr (kRounds > 0) {
    Vector next[kCount];
#pragma GCC unroll 16
    for (int i = 0; i < kCount / 2; ++i) {
      next[2 * i] = zip_low(v[i], v[i + kCount / 2]);
      next[2 * i + 1] = zip_high(v[i], v[i + kCount / 2]);
    }
    shuffle<kRounds - 1>(next);
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) v[i] = next[i];
  }
}

constexpr int log2_of(int count) { return count == 1 ? 0 : 1 + log2_of(count / 2); }

// Loads 16 bytes and flips them. kPart: the `left` bytes from p on, and zeros after them; what is
// loaded ends where they end.
template <bool kPart>
struct Bytes {
  uint8x16_t flip, places;
  int64_t before = 0;

  explicit Bytes(const PackArgs& args, int64_t left) : flip(vdupq_n_u8(args.flip)), places(flip) {
    static const uint8_t kPlaces[kVector] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (!kPart) return;
    before = kVector - left;
    places = vaddq_u8(vld1q_u8(kPlaces), vdupq_n_u8(static_cast<uint8_t>(before)));
  }
  [[gnu::always_inline]] uint8x16_t at(const uint8_t* p) const {
    if (!kPart) return veorq_u8(vld1q_u8(p), flip);
    return vqtbl1q_u8(veorq_u8(vld1q_u8(p - before), flip), places);
  }
};

template <typename Sum>
[[gnu::always_inline]] inline void put(int8_t* to, int8x16_t bytes, Sum* sum) {
  vst1q_s8(to, bytes);
  sum->add(bytes);
}

// All steps of 16 columns in rows, of which `left` are there; below the last row there are zeros.
template <int kKr, typename Sum, bool kPart>
void pack_rows(const PackArgs& args, const uint8_t* b, int64_t left, int8_t* to, uint32_t* sums) {
  const Bytes<kPart> bytes(args, left);
  for (int64_t top = 0; top < args.k; top += kBlock) {
    const int64_t depth = args.k - top < kBlock ? args.k - top : kBlock;
    Sum sum[kKr] = {};
    const auto step = [&](int64_t there) __attribute__((always_inline)) {
      uint8x16_t v[kKr];
#pragma GCC unroll 16
      for (int i = 0; i < kKr; ++i)
        v[i] = i < there ? bytes.at(b + i * args.k_stride) : vdupq_n_u8(0);
      shuffle<log2_of(kKr)>(v);
#pragma GCC unroll 16
      for (int i = 0; i < kKr; ++i) put(to + i * kVector, vreinterpretq_s8_u8(v[i]), &sum[i]);
      b += kKr * args.k_stride;
      to += kKr * kVector;
    };
    int64_t k = 0;
    for (; k + kKr <= depth; k += kKr) step(kKr);
    if (k < depth) step(depth - k);
#pragma GCC unroll 16
    for (int i = 0; i < kKr; ++i) sum[i].add_to(sums + i * (kVector / kKr));
  }
}

// 16 / kKr columns, of which `count` are there, from `top` to `end` in depth: vectors of 16, or one
// that has only the last of them (kPart).
template <int kKr, typename Sum, bool kAll, bool kPart>
void pack_columns(const PackArgs& args, const uint8_t* b, int64_t count, int64_t top, int64_t end,
                  int8_t* to, uint32_t* sums) {
  constexpr int kCount = static_cast<int>(kVector / kKr);
  const Bytes<kPart> bytes(args, end - top);
  Sum sum = {};
  to += top * kVector;
  for (int64_t k = top; k < end; k += kVector, to += kVector * kVector) {
    typename Words<kKr>::Vector v[kCount];
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      v[i] = (typename Words<kKr>::Vector)(kAll || i < count ? bytes.at(b + i * args.n_stride + k)
                                                             : vdupq_n_u8(0));
    }
    shuffle<log2_of(kCount)>(v);
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      if (kPart && k + i * kKr >= end) break;
      put(to + i * kVector * kKr, (int8x16_t)v[i], &sum);
    }
  }
  sum.add_to(sums);
}

// Columns first..last - 1, byte by byte: a matrix that has not 16 bytes in a row, or in a column.
template <int kKr>
void pack_bytes(const PackArgs& args, int64_t first, int64_t last) {
  for (int64_t n = first; n < last; ++n) {
    int8_t* to = args.panels + n / kVector * args.panel_bytes + n % kVector * kKr;
    for (int64_t k = 0; k < args.k; ++k) {
      const uint8_t byte = args.b[k * args.k_stride + n * args.n_stride] ^ args.flip;
      to[k / kKr * kVector * kKr + k % kKr] = static_cast<int8_t>(byte);
      args.sums[n] += static_cast<uint32_t>(static_cast<int8_t>(byte));
    }
  }
}

template <int kKr, typename Sum>
void pack_panels_of_rows(const PackArgs& args) {
  if (args.n < kVector) return pack_bytes<kKr>(args, 0, args.n);
  for (int64_t n = 0; n < args.n; n += kVector) {
    const int64_t left = args.n - n;
    const auto pack = left < kVector ? pack_rows<kKr, Sum, true> : pack_rows<kKr, Sum, false>;
    pack(args, args.b + n, left, args.panels + n / kVector * args.panel_bytes, args.sums + n);
  }
}

template <int kKr, typename Sum>
void pack_panels_of_columns(const PackArgs& args) {
  constexpr int64_t kCount = kVector / kKr;
  if (args.k < kVector) return pack_bytes<kKr>(args, 0, args.n);
  const int64_t whole = args.k - args.k % kVector;
  for (int64_t n = 0; n < args.n; n += kCount) {
    const int64_t count = args.n - n < kCount ? args.n - n : kCount;
    const bool all = count == kCount;
    const uint8_t* b = args.b + n * args.n_stride;
    int8_t* to = args.panels + n / kVector * args.panel_bytes + n % kVector * kKr;
    const auto pack =
        all ? pack_columns<kKr, Sum, true, false> : pack_columns<kKr, Sum, false, false>;
    for (int64_t top = 0; top < whole; top += kBlock) {
      const int64_t end = whole - top < kBlock ? whole : top + kBlock;
      pack(args, b, count, top, end, to, args.sums + n);
    }
    if (whole == args.k) continue;
    const auto last =
        all ? pack_columns<kKr, Sum, true, true> : pack_columns<kKr, Sum, false, true>;
    last(args, b, count, whole, args.k, to, args.sums + n);
  }
}

template <int kKr, typename Sum>
void pack_panels(const PackArgs& args) {
  args.n_stride == 1 ? pack_panels_of_rows<kKr, Sum>(args) : pack_panels_of_columns<kKr, Sum>(args);
}

}  // namespace
}  // namespace pycompress
