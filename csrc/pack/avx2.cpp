// Bytes into the panels of the AVX2 tiles (pack/avx2.inc.h).
#include "pack/avx2.inc.h"

namespace pycompress {

extern const PackKernel pack_avx2;
const PackKernel pack_avx2 = {16, 2, pack_panels<2>};

}  // namespace pycompress
