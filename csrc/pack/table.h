// THE table of packing kernels: the name of a kernel set, and what packs bytes for its int8 tiles.
// A set without a row does without.
#pragma once
#include "pack/pack.h"

namespace pycompress {

extern const PackKernel pack_avx2, pack_avx_vnni, pack_avx512_vnni, pack_neon, pack_neon_dotprod,
    pack_neon_i8mm;

struct PackRow {
  const char* isa;
  const PackKernel* kernel;
};

inline const PackRow kAllPack[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512_vnni", &pack_avx512_vnni},
    {"avx_vnni", &pack_avx_vnni},
    {"avx2", &pack_avx2},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {"neon_i8mm", &pack_neon_i8mm},
    {"neon_dotprod", &pack_neon_dotprod},
    {"neon", &pack_neon},
#endif
    {nullptr, nullptr},
};

}  // namespace pycompress
