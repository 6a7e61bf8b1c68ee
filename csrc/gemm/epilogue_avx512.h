// What AVX-512 tiles do to R x V vectors of sums before they store them: the Epilogue of kernels.h,
// in registers.
//
// Every loop over the sums is unrolled by pragma: gcc keeps an array in registers only when no
// index is left.
#pragma once
#include <immintrin.h>

#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kLanes = 16;

// The lowest `count` of 64 bits: none below 0, all above 64.
[[gnu::always_inline]] inline uint64_t low_bits(int64_t count) {
  return count <= 0 ? 0 : (count >= 64 ? ~0ull : (1ull << count) - 1);
}

// Which lanes of vector j hold columns of the result.
template <int V>
struct Columns {
  explicit Columns(int32_t count) : bytes(low_bits(count)) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) mask[j] = static_cast<__mmask16>(bytes >> (j * kLanes));
  }
  __mmask64 bytes;
  __mmask16 mask[V];
};

template <int R, int V>
[[gnu::always_inline]] inline void add_integer_terms(const TileArgs& args,
                                                     const Columns<V>& columns,
                                                     __m512i (&acc)[R][V]) {
  const Epilogue& e = *args.epilogue;
  if (e.init != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512i init =
          _mm512_maskz_loadu_epi32(columns.mask[j], e.init + args.col + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][j] = _mm512_add_epi32(acc[r][j], init);
    }
  }
  if (e.col_zero != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512i zero =
          _mm512_maskz_loadu_epi32(columns.mask[j], e.col_zero + args.col + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512i sum = _mm512_set1_epi32(e.row_sum[args.row + r]);
        acc[r][j] = _mm512_sub_epi32(acc[r][j], _mm512_mullo_epi32(zero, sum));
      }
    }
  }
  if (e.row_zero != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512i sum =
          _mm512_maskz_loadu_epi32(columns.mask[j], e.col_sum + args.col + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512i zero = _mm512_set1_epi32(e.row_zero[args.row + r]);
        acc[r][j] = _mm512_sub_epi32(acc[r][j], _mm512_mullo_epi32(zero, sum));
      }
    }
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void add_residual(const TileArgs& args, const Columns<V>& columns,
                                                __m512 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  const int64_t at = args.row * e.residual_ld + args.col;
  if (e.out == Out::f32) {
    const float* from = static_cast<const float*>(e.residual) + at;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) {
        const __m512 x =
            _mm512_maskz_loadu_ps(columns.mask[j], from + r * e.residual_ld + j * kLanes);
        v[r][j] = _mm512_add_ps(v[r][j], x);
      }
    }
    return;
  }
  const uint8_t* from = static_cast<const uint8_t*>(e.residual) + at;
  const __m512 scale = _mm512_set1_ps(e.residual_scale);
  const bool is_signed = e.out == Out::s8;
  // s8 as u8 with the sign bit flipped: one loop for both.
  const __m128i flip = _mm_set1_epi8(static_cast<char>(is_signed ? 0x80 : 0));
  const __m512i zero = _mm512_set1_epi32(e.residual_zero + (is_signed ? 128 : 0));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m128i bytes =
          _mm_maskz_loadu_epi8(columns.mask[j], from + r * e.residual_ld + j * kLanes);
      const __m512i x = _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_xor_si128(bytes, flip)), zero);
      v[r][j] = _mm512_add_ps(v[r][j], _mm512_mul_ps(_mm512_cvtepi32_ps(x), scale));
    }
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void add_float_terms(const TileArgs& args, const Columns<V>& columns,
                                                   __m512 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  if (e.scale != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512 scale = _mm512_maskz_loadu_ps(columns.mask[j], e.scale + args.col + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) v[r][j] = _mm512_mul_ps(v[r][j], scale);
    }
  }
  if (e.row_scale != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m512 scale = _mm512_set1_ps(e.row_scale[args.row + r]);
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) v[r][j] = _mm512_mul_ps(v[r][j], scale);
    }
  }
  if (e.bias != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const __m512 bias = _mm512_maskz_loadu_ps(columns.mask[j], e.bias + args.col + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) v[r][j] = _mm512_add_ps(v[r][j], bias);
    }
  }
  if (e.residual != nullptr) add_residual<R, V>(args, columns, v);
}

template <int R, int V>
[[gnu::always_inline]] inline void store_f32(const TileArgs& args, const Columns<V>& columns,
                                             __m512 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  const __m512 lo = _mm512_set1_ps(e.lo);
  const __m512 hi = _mm512_set1_ps(e.hi);
  float* to = static_cast<float*>(args.c);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      // The second operand is the answer where one is NaN: NaN stays.
      const __m512 x = _mm512_min_ps(hi, _mm512_max_ps(lo, v[r][j]));
      _mm512_mask_storeu_ps(to + r * args.ldc + j * kLanes, columns.mask[j], x);
    }
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void store_int8(const TileArgs& args, const Columns<V>& columns,
                                              __m512 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  // Beyond +-1024 the result saturates anyway, and the conversion to int32 has an answer below.
  const __m512 lo = _mm512_set1_ps(e.lo > -1024.0f ? e.lo : -1024.0f);
  const __m512 hi = _mm512_set1_ps(e.hi < 1024.0f ? e.hi : 1024.0f);
  const __m512i zero = _mm512_set1_epi32(e.out_zero);
  // The packs work within 128-bit lanes: dword 4 * lane + j goes to 4 * j + lane.
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const bool is_signed = e.out == Out::s8;
  uint8_t* to = static_cast<uint8_t*>(args.c);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    __m512i q[4];
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      if (j < V) {
        // The second operand is the answer where one is NaN: NaN becomes lo.
        const __m512 x = _mm512_min_ps(_mm512_max_ps(v[r][j < V ? j : 0], lo), hi);
        q[j] = _mm512_add_epi32(_mm512_cvtps_epi32(x), zero);
      } else {
        q[j] = q[0];
      }
    }
    const __m512i q01 = _mm512_packs_epi32(q[0], q[1]);
    const __m512i q23 = _mm512_packs_epi32(q[2], q[3]);
    const __m512i bytes = is_signed ? _mm512_packs_epi16(q01, q23) : _mm512_packus_epi16(q01, q23);
    _mm512_mask_storeu_epi8(to + r * args.ldc, columns.bytes,
                            _mm512_permutexvar_epi32(order, bytes));
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void finish_f32(const TileArgs& args, const Columns<V>& columns,
                                              __m512 (&v)[R][V]) {
  add_float_terms<R, V>(args, columns, v);
  if (args.epilogue->out == Out::f32) {
    store_f32<R, V>(args, columns, v);
  } else {
    store_int8<R, V>(args, columns, v);
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void finish_s32(const TileArgs& args, const Columns<V>& columns,
                                              __m512i (&acc)[R][V]) {
  add_integer_terms<R, V>(args, columns, acc);
  if (args.epilogue->out == Out::s32) {
    int32_t* to = static_cast<int32_t*>(args.c);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j)
        _mm512_mask_storeu_epi32(to + r * args.ldc + j * kLanes, columns.mask[j], acc[r][j]);
    }
    return;
  }
  __m512 v[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[r][j] = _mm512_cvtepi32_ps(acc[r][j]);
  }
  finish_f32<R, V>(args, columns, v);
}

}  // namespace
}  // namespace pycompress
