#include "kernels.h"

namespace pycompress {

extern const GemmKernels gemm_avx512_vnni;
const GemmKernels gemm_avx512_vnni = {};

}  // namespace pycompress
