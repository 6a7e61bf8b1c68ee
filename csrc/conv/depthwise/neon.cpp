#include "kernels.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_neon;
const DepthwiseKernels depthwise_neon = {};

}  // namespace pycompress
