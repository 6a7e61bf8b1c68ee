#include "kernels.h"

namespace pycompress {

extern const QuantizeKernels quantize_neon;
const QuantizeKernels quantize_neon = {};

}  // namespace pycompress
