#include "kernels.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_scalar;
const DepthwiseKernels depthwise_scalar = {};

}  // namespace pycompress
