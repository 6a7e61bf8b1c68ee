#include "kernels.h"

namespace pycompress {

extern const QuantizeKernels quantize_avx2;
const QuantizeKernels quantize_avx2 = {};

}  // namespace pycompress
