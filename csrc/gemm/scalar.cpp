// 4x16 tiles in plain C++: the set that runs anywhere, and the definition that the others are read
// against.
//
//                     B step   b [16 columns]
//   A step [4 rows]
//     row r           acc[r][16]           r = 0..3
//
// kr = 1, so that there are no tails in depth; sums are unsigned, so that they wrap as the vector
// instructions do.
#include "gemm/strip.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 16;

// Float to integer: half to even in the default rounding mode. |v| <= 1024 decides nothing, since
// the result saturates.
int32_t round_saturated(float v, const Epilogue& e, int32_t low, int32_t high) {
  const float lo = e.lo > -1024.0f ? e.lo : -1024.0f;
  const float hi = e.hi < 1024.0f ? e.hi : 1024.0f;
  v = v > lo ? v : lo;  // NaN to the low end
  v = v < hi ? v : hi;
  const int32_t q = static_cast<int32_t>(__builtin_lrintf(v)) + e.out_zero;
  return q < low ? low : (q > high ? high : q);
}

float residual_f32(const TileArgs& args, int64_t r, int64_t n) {
  const Epilogue& e = *args.epilogue;
  const int64_t at = (args.row + r) * e.residual_ld + args.col + n;
  switch (e.out) {
    case Out::u8:
      return static_cast<float>(static_cast<const uint8_t*>(e.residual)[at] - e.residual_zero) *
             e.residual_scale;
    case Out::s8:
      return static_cast<float>(static_cast<const int8_t*>(e.residual)[at] - e.residual_zero) *
             e.residual_scale;
    default:
      return static_cast<const float*>(e.residual)[at];
  }
}

void store_float(const TileArgs& args, int64_t r, int64_t n, float v) {
  const Epilogue& e = *args.epilogue;
  if (e.scale != nullptr) v = v * e.scale[args.col + n];
  if (e.row_scale != nullptr) v = v * e.row_scale[args.row + r];
  if (e.bias != nullptr) v = v + e.bias[args.col + n];
  if (e.residual != nullptr) v = v + residual_f32(args, r, n);
  const int64_t at = r * args.ldc + n;
  if (e.out == Out::u8) {
    static_cast<uint8_t*>(args.c)[at] = static_cast<uint8_t>(round_saturated(v, e, 0, 255));
  } else if (e.out == Out::s8) {
    static_cast<int8_t*>(args.c)[at] = static_cast<int8_t>(round_saturated(v, e, -128, 127));
  } else {
    v = e.lo > v ? e.lo : v;
    static_cast<float*>(args.c)[at] = e.hi < v ? e.hi : v;
  }
}

void store_int(const TileArgs& args, int64_t r, int64_t n, uint32_t acc) {
  const Epilogue& e = *args.epilogue;
  const int64_t row = args.row + r;
  const int64_t col = args.col + n;
  if (e.init != nullptr) acc += static_cast<uint32_t>(e.init[col]);
  if (e.col_zero != nullptr)
    acc -= static_cast<uint32_t>(e.col_zero[col]) * static_cast<uint32_t>(e.row_sum[row]);
  if (e.row_zero != nullptr)
    acc -= static_cast<uint32_t>(e.row_zero[row]) * static_cast<uint32_t>(e.col_sum[col]);
  const auto sum = static_cast<int32_t>(acc);
  if (e.out == Out::s32) {
    static_cast<int32_t*>(args.c)[r * args.ldc + n] = sum;
  } else {
    store_float(args, r, n, static_cast<float>(sum));
  }
}

template <uint8_t kFlip>
void gemm_tile_4x16_s8_scalar(const TileArgs& args) {
  uint32_t acc[kMr][kNr] = {};
  const int8_t* b = static_cast<const int8_t*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const void* const* rows = args.rows + t * args.row_step;
    for (int64_t k = 0; k < args.k; ++k, b += kNr) {
      for (int32_t r = 0; r < args.row_count; ++r) {
        const int32_t a = static_cast<int8_t>(static_cast<const uint8_t*>(rows[r])[k] ^ kFlip);
        for (int32_t n = 0; n < kNr; ++n) acc[r][n] += static_cast<uint32_t>(a * b[n]);
      }
    }
  }
  for (int32_t r = 0; r < args.row_count; ++r) {
    for (int32_t n = 0; n < args.col_count; ++n) store_int(args, r, n, acc[r][n]);
  }
}

void gemm_tile_4x16_f32_scalar(const TileArgs& args) {
  float acc[kMr][kNr] = {};
  const float* b = static_cast<const float*>(args.b);
  for (int64_t t = 0; t < args.taps; ++t) {
    const void* const* rows = args.rows + t * args.row_step;
    for (int64_t k = 0; k < args.k; ++k, b += kNr) {
      for (int32_t r = 0; r < args.row_count; ++r) {
        const float a = static_cast<const float*>(rows[r])[k];
        for (int32_t n = 0; n < kNr; ++n) acc[r][n] += a * b[n];
      }
    }
  }
  for (int32_t r = 0; r < args.row_count; ++r) {
    for (int32_t n = 0; n < args.col_count; ++n) store_float(args, r, n, acc[r][n]);
  }
}

template <Tile kTile>
void gemm_strip(const StripArgs& args) {
  run_strip(args, kNr, [](int32_t, int32_t) { return kTile; });
}

void row_sums_scalar(const uint8_t* a, int64_t k, bool is_signed, int32_t* sum) {
  int32_t total = 0;
  for (int64_t i = 0; i < k; ++i) total += is_signed ? static_cast<int8_t>(a[i]) : a[i];
  *sum = total;
}

}  // namespace

extern const GemmKernels gemm_scalar;
const GemmKernels gemm_scalar = {
    {kMr,
     kNr,
     1,
     true,
     gemm_strip<gemm_tile_4x16_s8_scalar<0>>,
     gemm_strip<gemm_tile_4x16_s8_scalar<0x80>>,
     nullptr,
     row_sums_scalar,
     {{kMr, 1}}},
    {kMr,
     kNr,
     1,
     true,
     gemm_strip<gemm_tile_4x16_f32_scalar>,
     nullptr,
     nullptr,
     nullptr,
     {{kMr, 1}}},
};

}  // namespace pycompress
