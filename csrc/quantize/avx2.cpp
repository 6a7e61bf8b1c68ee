#include "simd/avx2.h"

#include "kernels.h"
// The names above come first.
#include "quantize/lines_none.inc.h"
#include "quantize/quantize.inc.h"

namespace pycompress {

extern const QuantizeKernels quantize_avx2;
const QuantizeKernels quantize_avx2 = kQuantizeKernels;

}  // namespace pycompress
