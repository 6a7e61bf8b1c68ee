#include "kernels.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx2;
const DepthwiseKernels depthwise_avx2 = {};

}  // namespace pycompress
