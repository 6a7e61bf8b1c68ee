// THE table of kernel sets, best first. Adding an instruction set is adding a row (and its files in
// CMakeLists.txt).
#pragma once
#include "dispatch/cpu.h"
#include "kernels.h"

namespace pycompress {

extern const GemmKernels gemm_scalar, gemm_avx2, gemm_avx_vnni, gemm_avx512_vnni, gemm_neon,
    gemm_neon_dotprod, gemm_neon_i8mm;
extern const DepthwiseKernels depthwise_scalar, depthwise_avx2, depthwise_avx_vnni,
    depthwise_avx512_vnni, depthwise_neon, depthwise_neon_dotprod, depthwise_neon_i8mm;
extern const QuantizeKernels quantize_scalar, quantize_avx2, quantize_avx512, quantize_neon;
extern const PointwiseKernels pointwise_scalar, pointwise_avx2, pointwise_avx512, pointwise_neon;
extern const Int4Kernels int4_scalar, int4_avx2, int4_avx_vnni, int4_avx512_vnni, int4_neon,
    int4_neon_dotprod, int4_neon_i8mm;
extern const Bf16Kernel bf16_scalar, bf16_avx2, bf16_avx512, bf16_avx512_bf16, bf16_neon;

// clang-format off
inline const KernelSet kAllSets[] = {
//  name           needs                            gemm               depthwise          quantize           pointwise          int4
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512_vnni", kAvx2 | kAvx512 | kAvx512Vnni,  &gemm_avx512_vnni, &depthwise_avx512_vnni, &quantize_avx512, &pointwise_avx512, &int4_avx512_vnni},
    {"avx_vnni",    kAvx2 | kAvxVnni,               &gemm_avx_vnni,      &depthwise_avx_vnni, &quantize_avx2,  &pointwise_avx2, &int4_avx_vnni},
    {"avx2",        kAvx2,                          &gemm_avx2,          &depthwise_avx2,   &quantize_avx2,   &pointwise_avx2, &int4_avx2},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {"neon_i8mm",    kNeon | kNeonDotprod | kNeonI8mm, &gemm_neon_i8mm, &depthwise_neon_i8mm, &quantize_neon, &pointwise_neon, &int4_neon_i8mm},
    {"neon_dotprod", kNeon | kNeonDotprod,          &gemm_neon_dotprod,  &depthwise_neon_dotprod, &quantize_neon, &pointwise_neon, &int4_neon_dotprod},
    {"neon",        kNeon,                          &gemm_neon,          &depthwise_neon,   &quantize_neon,   &pointwise_neon, &int4_neon},
#endif
    {"scalar",      kNone,                          &gemm_scalar,      &depthwise_scalar, &quantize_scalar, &pointwise_scalar, &int4_scalar},
};

// The bf16 kernels beside them: the first row of a set's that the CPU can run.
struct Bf16Row {
  const char* set;
  uint32_t needs;
  const Bf16Kernel* kernel;
};

inline const Bf16Row kAllBf16[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512_vnni", kAvx512Bf16,  &bf16_avx512_bf16},
    {"avx512_vnni", kNone,        &bf16_avx512},
    {"avx_vnni",    kNone,        &bf16_avx2},
    {"avx2",        kNone,        &bf16_avx2},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {"neon_i8mm",    kNone,       &bf16_neon},
    {"neon_dotprod", kNone,       &bf16_neon},
    {"neon",        kNone,        &bf16_neon},
#endif
    {"scalar",      kNone,        &bf16_scalar},
};
// clang-format on

}  // namespace pycompress
