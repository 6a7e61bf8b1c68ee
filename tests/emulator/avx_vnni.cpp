// Carries out VEX-encoded vpdpbusd where the CPU has no AVX-VNNI: the instruction raises SIGILL,
// and the handler decodes it, computes it by its definition on the registers that the kernel saved,
// and goes on behind it. tools/ci/emulate_avx_vnni.sh links it with the extension's objects.
//
//   c4           RXB.mmmmm        W.vvvv.L.pp      50   ModRM [SIB] [displacement]
//   three-byte   mmmmm = 0f 38    pp = 66, W = 0        first operand: vvvv, accumulator: reg
//
// Every other instruction that the CPU lacks ends the process, as it would without this.
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

namespace {

constexpr int kXmm = 160;      // of an XSAVE area: where the low halves lie
constexpr int kStateBv = 512;  // which components are not in their initial state
constexpr uint64_t kSse = 2, kAvx = 4;
uint32_t g_ymm;  // where the high halves lie

struct Vector {
  uint8_t bytes[32];
};

// The vector registers of the interrupted thread.
class Registers {
 public:
  explicit Registers(void* area) : area_(static_cast<uint8_t*>(area)) {
    uint64_t valid;
    memcpy(&valid, area_ + kStateBv, sizeof(valid));
    if ((valid & kSse) == 0) memset(area_ + kXmm, 0, 256);
    if ((valid & kAvx) == 0) memset(area_ + g_ymm, 0, 256);
    valid |= kSse | kAvx;
    memcpy(area_ + kStateBv, &valid, sizeof(valid));
  }
  Vector get(int i) const {
    Vector v;
    memcpy(v.bytes, area_ + kXmm + 16 * i, 16);
    memcpy(v.bytes + 16, area_ + g_ymm + 16 * i, 16);
    return v;
  }
  void set(int i, const Vector& v) {
    memcpy(area_ + kXmm + 16 * i, v.bytes, 16);
    memcpy(area_ + g_ymm + 16 * i, v.bytes + 16, 16);
  }

 private:
  uint8_t* area_;
};

// The definition: four products of unsigned by signed bytes, added to a sum that wraps.
void dpbusd(const Vector& a, const Vector& b, int bytes, Vector* sum) {
  for (int i = 0; i < bytes; i += 4) {
    uint32_t total;
    memcpy(&total, sum->bytes + i, sizeof(total));
    for (int j = i; j < i + 4; ++j)
      total += static_cast<uint32_t>(int32_t{a.bytes[j]} * static_cast<int8_t>(b.bytes[j]));
    memcpy(sum->bytes + i, &total, sizeof(total));
  }
  memset(sum->bytes + bytes, 0, static_cast<size_t>(32 - bytes));
}

int64_t general(const ucontext_t& context, int number) {
  constexpr int kPlaces[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kPlaces[number]];
}

// An operand in memory: its address, and the code moved on behind its bytes. mod is not 3.
int64_t address_of(const ucontext_t& context, int modrm, int x, int b, const uint8_t** code) {
  const int mod = modrm >> 6, rm = modrm & 7;
  int64_t address = 0;
  bool has_base = true;
  int base = rm | b << 3;
  if (rm == 4) {  // a SIB byte follows
    const int sib = *(*code)++;
    const int index = (sib >> 3 & 7) | x << 3;
    if (index != 4) address = general(context, index) * (int64_t{1} << (sib >> 6));
    base = (sib & 7) | b << 3;
    has_base = (sib & 7) != 5 || mod != 0;
  }
  const bool from_rip = rm == 5 && mod == 0;
  if (has_base && !from_rip) address += general(context, base);
  if (mod == 1) {
    address += static_cast<int8_t>(*(*code)++);
  } else if (mod == 2 || from_rip || !has_base) {
    int32_t displacement;
    memcpy(&displacement, *code, sizeof(displacement));
    *code += sizeof(displacement);
    address += displacement;
    if (from_rip) address += reinterpret_cast<int64_t>(*code);
  }
  return address;
}

bool emulate(ucontext_t* context) {
  auto& rip = context->uc_mcontext.gregs[REG_RIP];
  const uint8_t* code = reinterpret_cast<const uint8_t*>(rip);
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x83) != 1 || code[3] != 0x50)
    return false;
  // R, X, B and vvvv are stored inverted.
  const int r = ~code[1] >> 7 & 1, x = ~code[1] >> 6 & 1, b = ~code[1] >> 5 & 1;
  const int first = ~code[2] >> 3 & 15;
  const int bytes = (code[2] & 4) != 0 ? 32 : 16;
  const int modrm = code[4];
  code += 5;
  Registers registers(context->uc_mcontext.fpregs);
  Vector second;
  if (modrm >> 6 == 3) {
    second = registers.get((modrm & 7) | b << 3);
  } else {
    const int64_t address = address_of(*context, modrm, x, b, &code);
    memcpy(second.bytes, reinterpret_cast<const void*>(address), static_cast<size_t>(bytes));
  }
  const int to = (modrm >> 3 & 7) | r << 3;
  Vector sum = registers.get(to);
  dpbusd(registers.get(first), second, bytes, &sum);
  registers.set(to, sum);
  rip = reinterpret_cast<greg_t>(code);
  return true;
}

void on_illegal(int, siginfo_t*, void* context) {
  // Back to the default, under which the instruction ends the process.
  if (!emulate(static_cast<ucontext_t*>(context))) signal(SIGILL, SIG_DFL);
}

[[gnu::constructor]] void install() {
  uint32_t eax, ecx, edx;
  __cpuid_count(0xd, 2, eax, g_ymm, ecx, edx);
  struct sigaction action = {};
  action.sa_sigaction = on_illegal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace
