// The constructors of all operators, by file. Each returns an Op for a node or throws
// std::invalid_argument.
#pragma once
#include <memory>

#include "engine/op.h"

namespace pycompress {

using OpPtr = std::unique_ptr<Op>;

// view.cpp
OpPtr make_identity(const NodeDef& node);

}  // namespace pycompress
