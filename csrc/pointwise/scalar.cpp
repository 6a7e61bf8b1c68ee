#include "kernels.h"

namespace pycompress {

extern const PointwiseKernels pointwise_scalar;
const PointwiseKernels pointwise_scalar = {};

}  // namespace pycompress
