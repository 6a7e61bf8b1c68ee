#include "simd/avx512.h"

#include "kernels.h"
// The names above come first.
#include "quantize/lines_avx512.inc.h"
#include "quantize/quantize.inc.h"

namespace pycompress {

extern const QuantizeKernels quantize_avx512;
const QuantizeKernels quantize_avx512 = kQuantizeKernels;

}  // namespace pycompress
