// Packed bfloat16 weights as they lie in a file, and back.
#pragma once
#include "bf16/bf16.h"
#include "gemm/stored.h"

namespace pycompress {

Stored store_bf16(const PackedBf16& packed);

// The weights of these sizes: a view where the kernel that goes with this set has the same layout,
// packed anew where it has another one. Throws std::invalid_argument when `stored` is something
// else.
PackedBf16 restore_bf16(const KernelSet& set, const Stored& stored, int64_t taps, int64_t k,
                        int64_t n);

}  // namespace pycompress
