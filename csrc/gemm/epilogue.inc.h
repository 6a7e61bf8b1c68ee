// What a tile does to R x V vectors of sums before it stores them: the Epilogue of kernels.h, in
// registers, written once.
//
// The including file has included one columns_<isa>.h, which gives the vector types F32 and I32
// (their arithmetic is the compiler's own), kLanes, min, max, round_even and Columns<V>: the loads
// and stores that know where the result ends. Every loop over the sums is unrolled by pragma: gcc
// keeps an array in registers only when no index is left.
#pragma once
#include "gemm/strip.inc.h"

namespace pycompress {
namespace {

// What the sums of an integer tile may start from: its init (then finish_s32 is told so).
template <int R, int V>
[[gnu::always_inline]] inline void start_s32(const TileArgs& args, const Columns<V>& columns,
                                             I32 (&acc)[R][V]) {
  const int32_t* init = args.epilogue->init;
  I32 first[V];
  if (init != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) first[j] = columns.load(j, init + args.col);
  } else {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) first[j] = I32{};
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = first[j];
  }
}

template <int R, int V, bool kStarted>
[[gnu::always_inline]] inline void add_integer_terms(const TileArgs& args,
                                                     const Columns<V>& columns, I32 (&acc)[R][V]) {
  const Epilogue& e = *args.epilogue;
  if (!kStarted && e.init != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const I32 init = columns.load(j, e.init + args.col);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][j] += init;
    }
  }
  if (e.col_zero != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const I32 zero = columns.load(j, e.col_zero + args.col);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][j] -= zero * e.row_sum[args.row + r];
    }
  }
  if (e.row_zero != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const I32 sum = columns.load(j, e.col_sum + args.col);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][j] -= sum * e.row_zero[args.row + r];
    }
  }
}

template <int R, int V, typename Byte>
[[gnu::always_inline]] inline void add_residual_bytes(const TileArgs& args,
                                                      const Columns<V>& columns, F32 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  const Byte* from = static_cast<const Byte*>(e.residual) + args.row * e.residual_ld + args.col;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const I32 x = columns.load(j, from + r * e.residual_ld) - e.residual_zero;
      v[r][j] += __builtin_convertvector(x, F32) * e.residual_scale;
    }
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void add_float_terms(const TileArgs& args, const Columns<V>& columns,
                                                   F32 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  if (e.scale != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const F32 scale = columns.load(j, e.scale + args.col);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) v[r][j] *= scale;
    }
  }
  if (e.row_scale != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) v[r][j] *= e.row_scale[args.row + r];
    }
  }
  if (e.bias != nullptr) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) {
      const F32 bias = columns.load(j, e.bias + args.col);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) v[r][j] += bias;
    }
  }
  if (e.residual == nullptr) return;
  if (e.out == Out::u8) {
    add_residual_bytes<R, V, uint8_t>(args, columns, v);
  } else if (e.out == Out::s8) {
    add_residual_bytes<R, V, int8_t>(args, columns, v);
  } else {
    const float* from = static_cast<const float*>(e.residual) + args.row * e.residual_ld + args.col;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) v[r][j] += columns.load(j, from + r * e.residual_ld);
    }
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void store_f32(const TileArgs& args, const Columns<V>& columns,
                                             const F32 (&v)[R][V]) {
  const F32 lo = F32{} + args.epilogue->lo;
  const F32 hi = F32{} + args.epilogue->hi;
  float* to = static_cast<float*>(args.c);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    // min and max answer with their second operand where one is NaN: NaN stays.
    for (int j = 0; j < V; ++j) columns.store(j, to + r * args.ldc, min(hi, max(lo, v[r][j])));
  }
}

template <int R, int V, bool kShift, bool kBound>
[[gnu::always_inline]] inline void store_rows(const TileArgs& args, const Columns<V>& columns,
                                              const F32 (&v)[R][V], const Bytes& bytes) {
  uint8_t* to = static_cast<uint8_t*>(args.c);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    I32 q[V];
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) q[j] = round_even(v[r][j]);
    columns.template store_bytes<kShift, kBound>(to + r * args.ldc, q, bytes);
  }
}

// A bound of floats as one of bytes: rounding and adding the zero point keep the order.
inline int32_t bound_of_bytes(float bound, const Bytes& bytes) {
  const F32 near = F32{} + (bound < -1024.0f ? -1024.0f : bound > 1024.0f ? 1024.0f : bound);
  const I32 q = round_even(near) + bytes.zero;
  return q[0] < bytes.low ? bytes.low : q[0] > bytes.high ? bytes.high : q[0];
}

template <int R, int V>
[[gnu::always_inline]] inline void store_bytes(const TileArgs& args, const Columns<V>& columns,
                                               F32 (&v)[R][V]) {
  const Epilogue& e = *args.epilogue;
  const bool is_signed = e.out == Out::s8;
  Bytes bytes{is_signed, e.out_zero, is_signed ? -128 : 0, is_signed ? 127 : 255};
  if (e.clamp == Clamp::bytes) {
    const int32_t low = bound_of_bytes(e.lo, bytes);
    bytes.high = bound_of_bytes(e.hi, bytes);
    bytes.low = low;
    store_rows<R, V, true, true>(args, columns, v, bytes);
    return;
  }
  if (e.clamp == Clamp::floats) {
    // Beyond +-1024 the result saturates anyway, and the conversion to int32 has an answer below.
    const F32 lo = F32{} + (e.lo > -1024.0f ? e.lo : -1024.0f);
    const F32 hi = F32{} + (e.hi < 1024.0f ? e.hi : 1024.0f);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) v[r][j] = min(max(v[r][j], lo), hi);  // NaN: the second operand
    }
  }
  if (e.out_zero == 0) {
    store_rows<R, V, false, false>(args, columns, v, bytes);
  } else {
    store_rows<R, V, true, false>(args, columns, v, bytes);
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void finish_f32(const TileArgs& args, const Columns<V>& columns,
                                              F32 (&v)[R][V]) {
  add_float_terms<R, V>(args, columns, v);
  if (args.epilogue->out == Out::f32) {
    store_f32<R, V>(args, columns, v);
  } else {
    store_bytes<R, V>(args, columns, v);
  }
}

template <int R, int V, bool kStarted = false>
[[gnu::always_inline]] inline void finish_s32(const TileArgs& args, const Columns<V>& columns,
                                              I32 (&acc)[R][V]) {
  add_integer_terms<R, V, kStarted>(args, columns, acc);
  if (args.epilogue->out == Out::s32) {
    int32_t* to = static_cast<int32_t*>(args.c);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) columns.store(j, to + r * args.ldc, acc[r][j]);
    }
    return;
  }
  F32 v[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) v[r][j] = __builtin_convertvector(acc[r][j], F32);
  }
  finish_f32<R, V>(args, columns, v);
}

}  // namespace
}  // namespace pycompress
