#include "dispatch/cpu.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

namespace pycompress {
namespace {

#ifdef PYCOMPRESS_EMULATE_AVX_VNNI
constexpr bool kEmulatesAvxVnni = true;  // by tests/emulator/avx_vnni.cpp
#else
constexpr bool kEmulatesAvxVnni = false;
#endif

uint64_t xcr0() {
  uint32_t lo = 0;
  uint32_t hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<uint64_t>(hi) << 32) | lo;
}

}  // namespace

uint32_t cpu_features() {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return kNone;
  constexpr uint32_t kFma = 1u << 12;
  constexpr uint32_t kOsxsave = 1u << 27;
  constexpr uint32_t kF16c = 1u << 29;
  const uint32_t leaf1 = kFma | kOsxsave | kF16c;
  if ((ecx & leaf1) != leaf1) return kNone;
  const uint64_t state = xcr0();
  constexpr uint64_t kYmm = 0x06;  // xmm and ymm
  constexpr uint64_t kZmm = 0xe6;  // and opmask, upper zmm
  if ((state & kYmm) != kYmm || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return kNone;
  uint32_t found = kNone;
  if ((ebx & (1u << 5)) == 0) return kNone;
  found |= kAvx2;
  const uint32_t avx512 = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  const bool has_avx512 = (state & kZmm) == kZmm && (ebx & avx512) == avx512;
  if (has_avx512) found |= kAvx512;
  if (has_avx512 && (ecx & (1u << 11)) != 0) found |= kAvx512Vnni;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) eax = 0;
  if (kEmulatesAvxVnni || (eax & (1u << 4)) != 0) found |= kAvxVnni;
  if (has_avx512 && (eax & (1u << 5)) != 0) found |= kAvx512Bf16;
  return found;
}

}  // namespace pycompress

#elif defined(__aarch64__) || defined(_M_ARM64)
#if defined(__linux__)
#include <sys/auxv.h>

namespace {
// Of the kernel's uapi/asm/hwcap.h, which older systems have without the second.
bool has_dotprod() { return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; }  // HWCAP_ASIMDDP
bool has_i8mm() { return (getauxval(AT_HWCAP2) & (1ul << 13)) != 0; }    // HWCAP2_I8MM
}  // namespace

#elif defined(__APPLE__)
#include <sys/sysctl.h>

namespace {
bool has(const char* name) {
  int32_t value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_dotprod() { return has("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() { return has("hw.optional.arm.FEAT_I8MM"); }
}  // namespace

#elif defined(_WIN32)
#include <windows.h>

namespace {
// PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE and, in newer SDKs, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE.
bool has_dotprod() { return IsProcessorFeaturePresent(43) != 0; }
bool has_i8mm() { return IsProcessorFeaturePresent(66) != 0; }
}  // namespace

#else
namespace {
bool has_dotprod() { return false; }
bool has_i8mm() { return false; }
}  // namespace
#endif

namespace pycompress {
uint32_t cpu_features() {
  uint32_t found = kNeon;  // Advanced SIMD is mandatory in AArch64
  if (has_dotprod()) found |= kNeonDotprod;
  if (has_i8mm()) found |= kNeonI8mm;
  return found;
}
}  // namespace pycompress

#else
namespace pycompress {
uint32_t cpu_features() { return kNone; }
}  // namespace pycompress
#endif
