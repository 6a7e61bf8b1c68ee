// Packed 4-bit weights as they lie in a file, and back.
#pragma once
#include "gemm/stored.h"
#include "int4/int4.h"

namespace pycompress {

Stored store_int4(const PackedInt4& packed);

// The weights of these sizes: a view where this kernel set has the same layout, packed anew where
// it has another one. Throws std::invalid_argument when `stored` is something else.
PackedInt4 restore_int4(const KernelSet& set, const Stored& stored, int64_t k, int64_t n,
                        int64_t block, bool zeros);

}  // namespace pycompress
