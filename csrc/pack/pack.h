// Packing bytes with vectors: what the kernels in this folder do, and THE table of them. The
// driver (gemm/pack.cpp) goes byte by byte where there is none.
#pragma once
#include <stdint.h>

namespace pycompress {

// Element (k, n) of B at b[k * k_stride + n * n_stride], where one of the strides is 1. They go
// into panels [k / kr][nr][kr], panel_bytes apart, with `flip` XORed onto them and zeros below the
// last row. sums[n] grows by the sum of column n's bytes as they are there, as int8, and may wrap.
struct PackArgs {
  const uint8_t* b;
  int64_t k_stride, n_stride;
  int64_t k, n;
  uint8_t flip;
  int8_t* panels;
  int64_t panel_bytes;
  uint32_t* sums;  // up to the end of the last panel
};

struct PackKernel {
  int32_t nr, kr;  // of the panels: those of the set's int8 tiles
  void (*run)(const PackArgs& args);
};

}  // namespace pycompress
