// What this CPU, and the operating system under it, can do.
#pragma once
#include <cstdint>

namespace pycompress {

enum CpuFeature : uint32_t {
  kNone = 0,
  kAvx2 = 1u << 0,    // AVX2, FMA, F16C, with ymm state saved by the OS
  kAvx512 = 1u << 1,  // AVX-512 F, BW, VL, DQ, with zmm state saved by the OS
  kAvx512Vnni = 1u << 2,
  kNeon = 1u << 3,
  kAvx512Bf16 = 1u << 4,
  kNeonDotprod = 1u << 5,  // sdot, udot
  kNeonI8mm = 1u << 6,     // smmla, ummla, usmmla
  kAvxVnni = 1u << 7,      // vpdpbusd on ymm registers, VEX-encoded
};

uint32_t cpu_features();

}  // namespace pycompress
