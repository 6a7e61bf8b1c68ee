#include "kernels.h"

namespace pycompress {

extern const PointwiseKernels pointwise_neon;
const PointwiseKernels pointwise_neon = {};

}  // namespace pycompress
