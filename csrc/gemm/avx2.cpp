#include "kernels.h"

namespace pycompress {

extern const GemmKernels gemm_avx2;
const GemmKernels gemm_avx2 = {};

}  // namespace pycompress
