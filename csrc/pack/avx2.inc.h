// Bytes into panels of 16 columns by kKr (2 or 4) of depth, for the files of sets on ymm registers.
//
// B in rows (n_stride 1): kKr rows of 16 columns are interleaved. B in columns (k_stride 1, as the
// keys of attention are): 16 of depth of 16 / kKr columns are a square of words (of half words,
// where kKr is 2), which is turned. What whole vectors leave at the edges goes byte by byte.
#pragma once
#include <immintrin.h>

#include "pack/pack.h"

namespace pycompress {
namespace {

[[gnu::always_inline]] inline __m128i load_flipped(const uint8_t* p, __m128i flip) {
  return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), flip);
}

// Stores 16 / kKr columns of a step, and adds their bytes to the sums: four columns in each.
template <int kKr>
[[gnu::always_inline]] inline void put(int8_t* to, __m128i bytes, __m128i* sums) {
  _mm_store_si128(reinterpret_cast<__m128i*>(to), bytes);
  const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
  if (kKr == 2) {
    sums[0] = _mm_add_epi32(sums[0], _mm_cvtepi16_epi32(pairs));
    sums[1] = _mm_add_epi32(sums[1], _mm_cvtepi16_epi32(_mm_unpackhi_epi64(pairs, pairs)));
  } else {
    sums[0] = _mm_add_epi32(sums[0], _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
  }
}

[[gnu::always_inline]] inline void add_sums(uint32_t* to, __m128i sums) {
  __m128i* at = reinterpret_cast<__m128i*>(to);
  _mm_storeu_si128(at, _mm_add_epi32(_mm_loadu_si128(at), sums));
}

// All steps of 16 columns in rows; below the last row there are zeros.
template <int kKr>
void pack_rows(const PackArgs& args, const uint8_t* b, int8_t* to, uint32_t* sums) {
  const __m128i flip = _mm_set1_epi8(static_cast<char>(args.flip));
  __m128i sum[4] = {};
  for (int64_t k = 0; k < args.k; k += kKr, b += kKr * args.k_stride, to += 16 * kKr) {
    const auto row = [&](int64_t i) {
      return k + i < args.k ? load_flipped(b + i * args.k_stride, flip) : _mm_setzero_si128();
    };
    const __m128i r0 = row(0), r1 = row(1);
    const __m128i low01 = _mm_unpacklo_epi8(r0, r1), high01 = _mm_unpackhi_epi8(r0, r1);
    if (kKr == 2) {
      put<2>(to, low01, sum);
      put<2>(to + 16, high01, sum + 2);
      continue;
    }
    const __m128i r2 = row(2), r3 = row(3);
    const __m128i low23 = _mm_unpacklo_epi8(r2, r3), high23 = _mm_unpackhi_epi8(r2, r3);
    put<4>(to, _mm_unpacklo_epi16(low01, low23), sum);
    put<4>(to + 16, _mm_unpackhi_epi16(low01, low23), sum + 1);
    put<4>(to + 32, _mm_unpacklo_epi16(high01, high23), sum + 2);
    put<4>(to + 48, _mm_unpackhi_epi16(high01, high23), sum + 3);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) add_sums(sums + 4 * i, sum[i]);
}

// 4 columns in 4 words each: a vector for each step of 4.
[[gnu::always_inline]] inline void turn(const __m128i (&c)[4], __m128i (&step)[4]) {
  const __m128i low01 = _mm_unpacklo_epi32(c[0], c[1]), high01 = _mm_unpackhi_epi32(c[0], c[1]);
  const __m128i low23 = _mm_unpacklo_epi32(c[2], c[3]), high23 = _mm_unpackhi_epi32(c[2], c[3]);
  step[0] = _mm_unpacklo_epi64(low01, low23);
  step[1] = _mm_unpackhi_epi64(low01, low23);
  step[2] = _mm_unpacklo_epi64(high01, high23);
  step[3] = _mm_unpackhi_epi64(high01, high23);
}

// 8 columns in 8 half words each: a vector for each step of 2.
[[gnu::always_inline]] inline void turn(const __m128i (&c)[8], __m128i (&step)[8]) {
  __m128i low[4], high[4];
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    low[i] = _mm_unpacklo_epi16(c[2 * i], c[2 * i + 1]);
    high[i] = _mm_unpackhi_epi16(c[2 * i], c[2 * i + 1]);
  }
  __m128i first[4], last[4];
  turn(low, first);
  turn(high, last);
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    step[i] = first[i];
    step[4 + i] = last[i];
  }
}

// Whole vectors of 16 of depth of 16 columns.
template <int kKr>
void pack_columns(const PackArgs& args, const uint8_t* b, int8_t* to, uint32_t* sums) {
  constexpr int kCount = 16 / kKr;  // columns of a square, and steps
  const __m128i flip = _mm_set1_epi8(static_cast<char>(args.flip));
  for (int64_t n = 0; n < 16; n += kCount) {
    const uint8_t* from = b + n * args.n_stride;
    int8_t* at = to + n * kKr;
    __m128i sum[2] = {};
    for (int64_t k = 0; k + 16 <= args.k; k += 16, at += 16 * 16) {
      __m128i column[kCount], step[kCount];
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) column[i] = load_flipped(from + i * args.n_stride + k, flip);
      turn(column, step);
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) put<kKr>(at + i * 16 * kKr, step[i], sum);
    }
    add_sums(sums + n, sum[0]);
    if (kKr == 2) add_sums(sums + n + 4, sum[1]);
  }
}

// Columns first..last - 1 from `top` on, byte by byte.
template <int kKr>
void pack_bytes(const PackArgs& args, int64_t first, int64_t last, int64_t top) {
  for (int64_t n = first; n < last; ++n) {
    int8_t* to = args.panels + n / 16 * args.panel_bytes + n % 16 * kKr;
    for (int64_t k = top; k < args.k; ++k) {
      const uint8_t byte = args.b[k * args.k_stride + n * args.n_stride] ^ args.flip;
      to[k / kKr * 16 * kKr + k % kKr] = static_cast<int8_t>(byte);
      args.sums[n] += static_cast<uint32_t>(static_cast<int8_t>(byte));
    }
  }
}

template <int kKr>
void pack_panels(const PackArgs& args) {
  const int64_t whole = args.n - args.n % 16;
  for (int64_t n = 0; n < whole; n += 16) {
    const uint8_t* b = args.b + n * args.n_stride;
    int8_t* to = args.panels + n / 16 * args.panel_bytes;
    const auto pack = args.n_stride == 1 ? pack_rows<kKr> : pack_columns<kKr>;
    pack(args, b, to, args.sums + n);
  }
  if (args.n_stride != 1) pack_bytes<kKr>(args, 0, whole, args.k - args.k % 16);
  pack_bytes<kKr>(args, whole, args.n, 0);
}

}  // namespace
}  // namespace pycompress
