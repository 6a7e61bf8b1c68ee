#include "kernels.h"

namespace pycompress {

extern const GemmKernels gemm_neon;
const GemmKernels gemm_neon = {};

}  // namespace pycompress
