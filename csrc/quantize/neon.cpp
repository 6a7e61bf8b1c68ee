#include "simd/neon.h"

#include "kernels.h"
// The names above come first.
#include "quantize/lines_none.inc.h"
#include "quantize/quantize.inc.h"

namespace pycompress {

extern const QuantizeKernels quantize_neon;
const QuantizeKernels quantize_neon = kQuantizeKernels;

}  // namespace pycompress
