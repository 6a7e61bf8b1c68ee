// 4x8 tiles of int4 weights in plain C++: the set that runs anywhere, and the definition that the
// others are read against.
//
//                     B step   low halves b [8 columns x 4k], then high halves, the next 4k
//   A step [4 rows]
//     row r           acc[8], then sum[r][8] once for each block           r = 0..3
#include "gemm/columns_scalar.h"
#include "gemm/epilogue.inc.h"
#include "kernels.h"

namespace pycompress {
namespace {

int32_t largest_lane(I32 v) {
  int32_t top = v[0];
  for (int i = 1; i < kLanes; ++i) top = v[i] > top ? v[i] : top;
  return top;
}
int32_t sum_lanes(I32 v) { return v[0] + v[1] + v[2] + v[3]; }

}  // namespace
}  // namespace pycompress

#include "int4/tile.inc.h"

namespace pycompress {
namespace {

constexpr int32_t kMr = 4, kNr = 8, kKr = 4, kVectors = kNr / kLanes;

// One block of one row: sum = fma(float(dot(p, q - z)), scale * a_scale, sum) for each column.
void add_block(const char* record, const float* scale, const uint8_t* zeros, const uint8_t* q,
               int64_t block, F32 (&sum)[kVectors]) {
  Int4Block head;
  __builtin_memcpy(&head, record, sizeof(head));
  const int8_t* p = reinterpret_cast<const int8_t*>(record + sizeof(head));
  int32_t acc[kNr];
  for (int32_t n = 0; n < kNr; ++n)
    acc[n] = zeros == nullptr ? head.offset : zeros[n] * head.offset / 8;
  for (int64_t k = 0; k < block; k += 2 * kKr) {
    for (int32_t n = 0; n < kNr; ++n) {
      for (int32_t j = 0; j < kKr; ++j, ++q)
        acc[n] += p[k + j] * (*q & 15) + p[k + kKr + j] * (*q >> 4);
    }
  }
  for (int32_t n = 0; n < kNr; ++n) {
    float& total = reinterpret_cast<float*>(sum)[n];
    total = __builtin_fmaf(static_cast<float>(acc[n]), scale[n] * head.scale, total);
  }
}

void gemm_tile_4x8_s4_scalar(const Int4Args& args) {
  for (int32_t r = 0; r < args.row_count; ++r) {
    F32 sum[1][kVectors] = {};
    const uint8_t* b = static_cast<const uint8_t*>(args.b);
    const char* a = static_cast<const char*>(args.rows[r]);
    for (int64_t i = 0; i < args.blocks; ++i, a += int4_record(args.block)) {
      const float* scale = reinterpret_cast<const float*>(b);
      b += kNr * 4;
      const uint8_t* zero = args.zeros ? b : nullptr;
      if (args.zeros) b += int4_zeros_bytes(kNr);
      add_block(a, scale, zero, b, args.block, sum[0]);
      b += kNr * args.block / 2;
    }
    TileArgs row = corner_of(args);
    row.row += r;
    row.c = static_cast<char*>(args.c) + r * args.ldc * (args.epilogue->out == Out::f32 ? 4 : 1);
    finish_f32<1, kVectors>(row, Columns<kVectors>(args.col_count), sum);
  }
}

}  // namespace

extern const Int4Kernels int4_scalar;
const Int4Kernels int4_scalar = {kMr, kNr, kKr, quantize_blocks<4>, gemm_tile_4x8_s4_scalar};

}  // namespace pycompress
