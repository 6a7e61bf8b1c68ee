// Bytes into panels of 16 columns by 4 of depth, on zmm registers.
//
// B in rows (n_stride 1): 4 rows of 64 columns are interleaved within 16-byte lanes, and the lanes
// of the 4 vectors turned, so that each vector is a step of one of 4 panels.
//
//   r0 r1 r2 r3 -> q[i], lane p: columns 16 p + 4 i .. + 3, 4k each -> step[p] = lanes p of q[0..3]
//
// B in columns (k_stride 1, as the keys of attention are): 16 bytes of 16 columns, loaded so that
// lane L of z[i] is column 4 L + i; turning each lane's square of 4 x 4 words gives 4 steps of one
// panel.
#include <immintrin.h>

#include "pack/pack.h"

namespace pycompress {
namespace {

// The lowest `count` of 64 bits: all above 64.
[[gnu::always_inline]] inline uint64_t low_bits(int64_t count) {
  return count >= 64 ? ~0ull : (1ull << count) - 1;
}

[[gnu::always_inline]] inline __m512i add_bytes(__m512i sums, __m512i bytes) {
  return _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), bytes);
}

[[gnu::always_inline]] inline void add_sums(uint32_t* to, __m512i sums) {
  _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), sums));
}

// Up to 64 columns. kWhole: all of them, or else only as many panels are written as there are.
template <bool kWhole>
void pack_rows(const PackArgs& args, const uint8_t* b, int64_t columns, int8_t* to,
               uint32_t* sums) {
  const __mmask64 mask = low_bits(columns);
  const int panels = static_cast<int>((columns + 15) / 16);
  const __m512i flip = _mm512_maskz_set1_epi8(mask, static_cast<char>(args.flip));
  __m512i sum[4] = {};
  for (int64_t k = 0; k < args.k; k += 4, b += 4 * args.k_stride, to += 64) {
    const auto row = [&](int64_t i) {
      if (k + i >= args.k) return _mm512_setzero_si512();
      const uint8_t* from = b + i * args.k_stride;
      return _mm512_xor_si512(
          kWhole ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(mask, from), flip);
    };
    const __m512i r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
    const __m512i low01 = _mm512_unpacklo_epi8(r0, r1), low23 = _mm512_unpacklo_epi8(r2, r3);
    const __m512i high01 = _mm512_unpackhi_epi8(r0, r1), high23 = _mm512_unpackhi_epi8(r2, r3);
    const __m512i q0 = _mm512_unpacklo_epi16(low01, low23);
    const __m512i q1 = _mm512_unpackhi_epi16(low01, low23);
    const __m512i q2 = _mm512_unpacklo_epi16(high01, high23);
    const __m512i q3 = _mm512_unpackhi_epi16(high01, high23);
    const __m512i first01 = _mm512_shuffle_i32x4(q0, q1, 0x44);
    const __m512i last01 = _mm512_shuffle_i32x4(q0, q1, 0xee);
    const __m512i first23 = _mm512_shuffle_i32x4(q2, q3, 0x44);
    const __m512i last23 = _mm512_shuffle_i32x4(q2, q3, 0xee);
    const __m512i step[4] = {
        _mm512_shuffle_i32x4(first01, first23, 0x88), _mm512_shuffle_i32x4(first01, first23, 0xdd),
        _mm512_shuffle_i32x4(last01, last23, 0x88), _mm512_shuffle_i32x4(last01, last23, 0xdd)};
#pragma GCC unroll 16
    for (int p = 0; p < 4; ++p) {
      if (!kWhole && p >= panels) continue;
      _mm512_store_si512(to + p * args.panel_bytes, step[p]);
      sum[p] = add_bytes(sum[p], step[p]);
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < 4; ++p) {
    if (kWhole || p < panels) add_sums(sums + p * 16, sum[p]);
  }
}

// Up to 16 columns. kWhole: all of them.
template <bool kWhole>
void pack_columns(const PackArgs& args, const uint8_t* b, int64_t columns, int8_t* to,
                  uint32_t* sums) {
  __m512i sum = _mm512_setzero_si512();
  for (int64_t k = 0; k < args.k; k += 16, b += 16) {
    const bool whole = kWhole && k + 16 <= args.k;
    const auto depth = static_cast<__mmask16>(low_bits(args.k - k));
    const auto column = [&](int64_t n) {
      const uint8_t* from = b + n * args.n_stride;
      if (whole) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      return n < columns ? _mm_maskz_loadu_epi8(depth, from) : _mm_setzero_si128();
    };
    const auto every_fourth = [&](int64_t n) {
      __m512i z = _mm512_castsi128_si512(column(n));
      z = _mm512_inserti32x4(z, column(n + 4), 1);
      z = _mm512_inserti32x4(z, column(n + 8), 2);
      return _mm512_inserti32x4(z, column(n + 12), 3);
    };
    const __m512i z0 = every_fourth(0), z1 = every_fourth(1);
    const __m512i z2 = every_fourth(2), z3 = every_fourth(3);
    const __m512i low01 = _mm512_unpacklo_epi32(z0, z1), low23 = _mm512_unpacklo_epi32(z2, z3);
    const __m512i high01 = _mm512_unpackhi_epi32(z0, z1), high23 = _mm512_unpackhi_epi32(z2, z3);
    const __m512i step[4] = {
        _mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
        _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)};
    // A word is 4k of one column: which of its bytes are there, and so are flipped.
    const __mmask16 there = static_cast<__mmask16>(low_bits(columns));
    const char flip = static_cast<char>(args.flip);
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i, to += 64) {
      const int64_t left = args.k - k - 4 * i;
      if (!whole && left <= 0) break;
      const uint32_t word = left >= 4 ? ~0u : (1u << (8 * left)) - 1;
      const __m512i flips = _mm512_and_si512(
          _mm512_set1_epi8(flip), _mm512_maskz_set1_epi32(there, static_cast<int32_t>(word)));
      const __m512i bytes = _mm512_xor_si512(step[i], flips);
      _mm512_store_si512(to, bytes);
      sum = add_bytes(sum, bytes);
    }
  }
  add_sums(sums, sum);
}

void pack_bytes(const PackArgs& args) {
  const bool in_rows = args.n_stride == 1;
  const int64_t width = in_rows ? 64 : 16;
  for (int64_t n = 0; n < args.n; n += width) {
    const int64_t left = args.n - n;
    const int64_t columns = left < width ? left : width;
    const uint8_t* b = args.b + n * args.n_stride;
    int8_t* to = args.panels + n / 16 * args.panel_bytes;
    if (in_rows) {
      (columns == width ? pack_rows<true> : pack_rows<false>)(args, b, columns, to, args.sums + n);
    } else {
      (columns == width ? pack_columns<true> : pack_columns<false>)(args, b, columns, to,
                                                                    args.sums + n);
    }
  }
}

}  // namespace

extern const PackKernel pack_avx512_vnni;
const PackKernel pack_avx512_vnni = {16, 4, pack_bytes};

}  // namespace pycompress
