#include "simd/scalar.h"

#include "kernels.h"
// The names above come first.
#include "quantize/lines_none.inc.h"
#include "quantize/quantize.inc.h"

namespace pycompress {

extern const QuantizeKernels quantize_scalar;
const QuantizeKernels quantize_scalar = kQuantizeKernels;

}  // namespace pycompress
