#include "kernels.h"

namespace pycompress {

extern const PointwiseKernels pointwise_avx2;
const PointwiseKernels pointwise_avx2 = {};

}  // namespace pycompress
