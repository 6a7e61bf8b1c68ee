#include "kernels.h"

namespace pycompress {

extern const DepthwiseKernels depthwise_avx512_vnni;
const DepthwiseKernels depthwise_avx512_vnni = {};

}  // namespace pycompress
