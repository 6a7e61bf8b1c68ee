// Packing on several threads, for matrices that come at run time and are multiplied once.
#pragma once
#include "gemm/gemm.h"

namespace pycompress {

// fill_b_int8() of gemm.h, in parts.
void fill_b_int8(PackedB* packed, const void* b, bool b_signed, int64_t tap_stride,
                 int64_t k_stride, int64_t n_stride, const int32_t* b_zero, ThreadPool* pool);

}  // namespace pycompress
