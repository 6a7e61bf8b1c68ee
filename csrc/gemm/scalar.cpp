#include "kernels.h"

namespace pycompress {

extern const GemmKernels gemm_scalar;
const GemmKernels gemm_scalar = {};

}  // namespace pycompress
