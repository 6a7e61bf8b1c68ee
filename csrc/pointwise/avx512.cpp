#include "kernels.h"

namespace pycompress {

extern const PointwiseKernels pointwise_avx512;
const PointwiseKernels pointwise_avx512 = {};

}  // namespace pycompress
