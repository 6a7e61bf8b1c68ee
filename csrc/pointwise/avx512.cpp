#include "simd/avx512.h"

#include "kernels.h"
// The names above come first.
#include "simd/elementary.inc.h"

namespace pycompress {
namespace {

// The table is 128 pairs of bytes in four registers. An even and an odd byte of x each pick their
// pair by the upper seven bits, and the byte of the pair by the lowest.
void table_bytes(const uint8_t* x, int64_t n, const uint8_t* table, uint8_t* y) {
  const __m512i t0 = _mm512_loadu_si512(table);
  const __m512i t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128);
  const __m512i t3 = _mm512_loadu_si512(table + 192);
  const __m512i low = _mm512_set1_epi16(255);
  const auto pick = [=](__m512i index) {  // words with an index in the low byte, 0 in the high one
    const __m512i pair = _mm512_srli_epi16(index, 1);
    const __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(128));
    const __m512i words = _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(t0, pair, t1),
                                                  _mm512_permutex2var_epi16(t2, pair, t3));
    const __mmask32 odd = _mm512_test_epi16_mask(index, _mm512_set1_epi16(1));
    return _mm512_and_si512(_mm512_mask_srli_epi16(words, odd, words, 8), low);
  };
  const auto lookup = [=](__m512i v) {
    const __m512i even = pick(_mm512_and_si512(v, low));
    const __m512i odd = pick(_mm512_srli_epi16(v, 8));
    return _mm512_or_si512(even, _mm512_slli_epi16(odd, 8));
  };
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) _mm512_storeu_si512(y + i, lookup(_mm512_loadu_si512(x + i)));
  for (; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace pycompress

#include "pointwise/pointwise.inc.h"

namespace pycompress {

extern const PointwiseKernels pointwise_avx512;
const PointwiseKernels pointwise_avx512 = kPointwiseKernels;

}  // namespace pycompress
