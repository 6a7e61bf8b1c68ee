// Packed convolutions as they lie in a file, and back.
#pragma once
#include <vector>

#include "conv/conv.h"
#include "gemm/stored.h"

namespace pycompress {

// First what the convolution is and its depthwise weights, then the matrix of each group.
std::vector<Stored> store_conv(const PackedConv& conv);

// What pack_conv_int8 or pack_conv_f32 made of the same weights. Throws std::invalid_argument when
// `stored` does not hold such a convolution.
PackedConv restore_conv(const KernelSet& set, const std::vector<Stored>& stored, bool is_float,
                        int64_t filters, int64_t group_channels, int64_t groups,
                        const Window& window);

}  // namespace pycompress
