// THE table of ceilings: the name of a kernel set, and the loops that say how fast it could be at
// most. Best first; a set has a row for each file whose needs differ.
#pragma once
#include "dispatch/cpu.h"
#include "limits/limits.h"

namespace pycompress {

extern const LimitLoops limits_scalar, limits_avx2, limits_avx_vnni, limits_avx512_vnni,
    limits_avx512_bf16, limits_neon, limits_neon_dotprod, limits_neon_i8mm;

struct LimitRow {
  const char* isa;
  uint32_t needs;
  const LimitLoops* loops;
};

// clang-format off
inline const LimitRow kAllLimits[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512_vnni", kAvx2 | kAvx512 | kAvx512Vnni, &limits_avx512_vnni},
    {"avx512_vnni", kAvx512 | kAvx512Vnni | kAvx512Bf16, &limits_avx512_bf16},
    {"avx_vnni",    kAvx2 | kAvxVnni,              &limits_avx_vnni},
    {"avx2",        kAvx2,                         &limits_avx2},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {"neon_i8mm",    kNeon | kNeonDotprod | kNeonI8mm, &limits_neon_i8mm},
    {"neon_dotprod", kNeon | kNeonDotprod,             &limits_neon_dotprod},
    {"neon",        kNeon,                         &limits_neon},
#endif
    {"scalar",      kNone,                         &limits_scalar},
};
// clang-format on

}  // namespace pycompress
