#include "simd/avx2.h"

#include "kernels.h"
// The names above come first.
#include "simd/elementary.inc.h"

namespace pycompress {
namespace {

// Sixteen rows of sixteen bytes, each looked up by the lower half of a byte of x.
//
// vpshufb gives 0 where the top bit of the index is set. With x lowered by 16 from row to row (it
// stays negative once it is), row r answers for all x >= 16 r: XORed differences of neighbouring
// rows therefore leave the one row that is meant. The upper 128 values do the same with the top bit
// off.
void table_bytes(const uint8_t* x, int64_t n, const uint8_t* table, uint8_t* y) {
  __m256i rows[16];
  __m128i before = _mm_setzero_si128();
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    if (r == 8) before = _mm_setzero_si128();
    const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * r));
    rows[r] = _mm256_broadcastsi128_si256(_mm_xor_si128(row, before));
    before = row;
  }
  const __m256i sixteen = _mm256_set1_epi8(16);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    __m256i high = _mm256_xor_si256(low, _mm256_set1_epi8(-128));
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      sum = _mm256_xor_si256(sum, _mm256_shuffle_epi8(rows[r], low));
      sum = _mm256_xor_si256(sum, _mm256_shuffle_epi8(rows[8 + r], high));
      low = _mm256_subs_epi8(low, sixteen);
      high = _mm256_subs_epi8(high, sixteen);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), sum);
  }
  for (; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace pycompress

#include "pointwise/pointwise.inc.h"

namespace pycompress {

extern const PointwiseKernels pointwise_avx2;
const PointwiseKernels pointwise_avx2 = kPointwiseKernels;

}  // namespace pycompress
