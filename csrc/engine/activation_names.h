// Names of the float unary functions and their ONNX default parameters.
#pragma once
#include <string>

#include "kernels.h"

namespace pycompress {

struct UnaryDefaults {
  float alpha;
  float beta;
};

// "" is the identity. Throws std::invalid_argument on an unknown name.
Unary unary_of(const std::string& name);
UnaryDefaults unary_defaults(Unary op);

}  // namespace pycompress
