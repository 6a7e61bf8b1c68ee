// What the tiles share, written once: a row of float32 into records of int8 blocks, and where a
// tile's results go.
//
// The including file has included one gemm/columns_<isa>.h and gemm/epilogue.inc.h, and defines
// largest_lane(I32) and sum_lanes(I32). The magnitudes of floats order like their bits, with
// infinity and then NaN on top.
#pragma once

namespace pycompress {
namespace {

template <int V>
void quantize_blocks(const float* a, int64_t k, int64_t block, void* records) {
  constexpr int32_t kStep = V * kLanes;
  constexpr int32_t kInfinity = 0x7f800000;
  constexpr float kSmallest = 0x1p-119f;
  char* record = static_cast<char*>(records);
  const Columns<V> whole(kStep);
  for (int64_t first = 0; first < k; first += block, record += int4_record(block)) {
    const int64_t count = k - first < block ? k - first : block;
    I32 top = {};
    for (int64_t i = 0; i < count; i += kStep) {
      const Columns<V> part(static_cast<int32_t>(count - i < kStep ? count - i : kStep));
#pragma GCC unroll 16
      for (int j = 0; j < V; ++j) {
        const I32 bits = (I32)part.load(j, a + first + i) & 0x7fffffff;
        top = bits > top ? bits : top;
      }
    }
    const int32_t bits = largest_lane(top);
    float largest;
    __builtin_memcpy(&largest, &bits, sizeof(largest));
    const bool usable = bits < kInfinity && largest >= kSmallest;
    const float factor = usable ? 127.0f / largest : 0.0f;
    Int4Block head;
    head.scale = usable ? largest / 127.0f : (bits < kInfinity ? 0.0f : __builtin_nanf(""));
    uint8_t* to = reinterpret_cast<uint8_t*>(record + sizeof(head));
    I32 total = {};
    for (int64_t i = 0; i < block; i += kStep) {
      I32 q[V] = {};
      if (usable && i < count) {
        const Columns<V> part(static_cast<int32_t>(count - i < kStep ? count - i : kStep));
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) {
          q[j] = round_even(part.load(j, a + first + i) * factor);
          total += q[j];
        }
      }
      whole.template store_bytes<false, false>(to + i, q, {true, 0, -128, 127});
    }
    head.offset = -8 * sum_lanes(total);
    __builtin_memcpy(record, &head, sizeof(head));
  }
}

// What the epilogue asks of a tile.
[[gnu::always_inline]] inline TileArgs corner_of(const Int4Args& args) {
  TileArgs corner = {};
  corner.row = args.row;
  corner.col = args.col;
  corner.c = args.c;
  corner.ldc = args.ldc;
  corner.epilogue = args.epilogue;
  return corner;
}

}  // namespace
}  // namespace pycompress
