// Tiles of bfloat16 where the CPU has no instruction for it, written once: B is widened to float32
// as it is loaded, A was rounded and is float32.
//
// The including file has included one gemm/columns_<isa>.h and gemm/epilogue.inc.h, and defines
// widen(const uint16_t*), the float32 of kLanes columns; add_product(sum, a, b), sum + a * b; and
// spread(x), x in every lane.
#pragma once

namespace pycompress {
namespace {

template <int R, int V>
void gemm_tile_bf16_float(const TileArgs& args) {
  F32 acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < V; ++j) acc[r][j] = F32{};
  }
  const uint16_t* b = static_cast<const uint16_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const float* a[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) a[r] = static_cast<const float*>(args.rows[t * args.row_step + r]);
    for (int64_t k = 0; k < args.k; ++k, b += V * kLanes) {
      F32 bv[V];
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) bv[j] = widen(b + j * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const F32 av = spread(a[r][k]);
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) acc[r][j] = add_product(acc[r][j], av, bv[j]);
      }
    }
  }
  finish_f32<R, V>(args, Columns<V>(args.col_count), acc);
}

// Half to even by the bits: what is below the upper half, and the upper half's last bit, decide
// whether the addition carries into it. NaN stays NaN, whatever its payload.
inline float rounded_to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7fffffff) > 0x7f800000) {
    bits |= 0x00400000;
  } else {
    bits += 0x7fff + (bits >> 16 & 1);
  }
  bits &= 0xffff0000;
  __builtin_memcpy(&x, &bits, sizeof(bits));
  return x;
}

inline void round_to_float(const float* a, int64_t k, void* rounded) {
  float* to = static_cast<float*>(rounded);
  for (int64_t i = 0; i < k; ++i) to[i] = rounded_to_bf16(a[i]);
}

}  // namespace
}  // namespace pycompress
