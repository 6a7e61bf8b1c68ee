// Bytes into the panels of the AVX-VNNI tiles (pack/avx2.inc.h).
#include "pack/avx2.inc.h"

namespace pycompress {

extern const PackKernel pack_avx_vnni;
const PackKernel pack_avx_vnni = {16, 4, pack_panels<4>};

}  // namespace pycompress
