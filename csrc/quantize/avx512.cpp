#include "kernels.h"

namespace pycompress {

extern const QuantizeKernels quantize_avx512;
const QuantizeKernels quantize_avx512 = {};

}  // namespace pycompress
