// The constructors of all operators, by file. Each returns an Op for a node or throws
// std::invalid_argument.
#pragma once
#include <memory>

#include "engine/op.h"

namespace pycompress {

using OpPtr = std::unique_ptr<Op>;

// view.cpp
OpPtr make_identity(const NodeDef& node);
OpPtr make_reshape(const NodeDef& node);
OpPtr make_flatten(const NodeDef& node);
OpPtr make_squeeze(const NodeDef& node);
OpPtr make_unsqueeze(const NodeDef& node);
OpPtr make_shape(const NodeDef& node);
OpPtr make_size(const NodeDef& node);
// transpose.cpp, concat.cpp, slice.cpp
OpPtr make_transpose(const NodeDef& node);
OpPtr make_concat(const NodeDef& node);
OpPtr make_split(const NodeDef& node);
OpPtr make_slice(const NodeDef& node);

// conv.cpp, conv_transpose.cpp, pool.cpp, resize.cpp
OpPtr make_conv(const NodeDef& node);
OpPtr make_conv_integer(const NodeDef& node);
OpPtr make_conv_transpose(const NodeDef& node);
OpPtr make_max_pool(const NodeDef& node);
OpPtr make_average_pool(const NodeDef& node);
OpPtr make_global_max_pool(const NodeDef& node);
OpPtr make_global_average_pool(const NodeDef& node);
OpPtr make_q_global_average_pool(const NodeDef& node);
OpPtr make_resize(const NodeDef& node);

}  // namespace pycompress
