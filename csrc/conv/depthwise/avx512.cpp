#include "kernels.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx512;
const DepthwiseKernels depthwise_avx512 = {};

}  // namespace pycompress
