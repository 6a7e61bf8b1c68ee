// Panels for matrices that are packed at run time.
#pragma once
#include <cstdint>

#include "gemm/gemm.h"

namespace pycompress {

// An operator that needs two packed matrices at a time takes one of each side: panels of one side
// never take the memory of the other's.
enum class PanelSide { right, left };

// Panels kept by each thread for the shapes it met last, so that a steady run does not allocate.
PackedB& reusable_panels(const KernelSet& set, bool is_float, int64_t k, int64_t n,
                         PanelSide side = PanelSide::right);

}  // namespace pycompress
