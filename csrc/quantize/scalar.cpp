#include "kernels.h"

namespace pycompress {

extern const QuantizeKernels quantize_scalar;
const QuantizeKernels quantize_scalar = {};

}  // namespace pycompress
