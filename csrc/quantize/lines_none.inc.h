// What quantize_rows.inc.h and quantize_columns.inc.h ask of the sets that have no permutation of
// two registers: see lines_avx512.inc.h.
#pragma once
#include <stdint.h>

#include "kernels.h"

namespace pycompress {
namespace {

constexpr bool can_shift(const float*, int64_t, int64_t, const void*) { return false; }

template <int kRuns, typename Byte, typename By>
inline void stream_shifted(const float*, int64_t, int64_t, By, Byte*) {}

template <typename Byte>
constexpr bool stream_rows(const QuantizeArgs&) {
  return false;
}

}  // namespace
}  // namespace pycompress
