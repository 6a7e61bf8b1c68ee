// Windows of convolutions and poolings, read from a node and laid over a tensor in NHWC.
#pragma once
#include "conv/geometry.h"
#include "engine/attrs.h"
#include "engine/tensor.h"

namespace pycompress {

// Attributes strides, dilations, pads, auto_pad and kernel_shape beside weights [O, I / group,
// k...] (or [I, O / group, k...]).
Window read_conv_window(const NodeDef& node, const Shape& w);
// The same of a pooling, whose kernel_shape is required, with ceil_mode.
Window read_pool_window(const NodeDef& node);

// Throws std::invalid_argument unless x is [N, spatial..., channels] with the window's number of
// spatial dimensions; channels -1: any number of them.
Placement place_on(const Shape& x, const Window& window, int64_t channels);

// [N, spatial..., channels] of the output.
Shape shape_of(const Placement& placement, int64_t channels);

}  // namespace pycompress
