#include "dispatch/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "dispatch/cpu.h"
#include "dispatch/sets.h"

namespace pycompress {
namespace {

std::atomic<const KernelSet*> g_active{nullptr};

}  // namespace

std::vector<const KernelSet*> available_sets() {
  static const uint32_t features = cpu_features();
  std::vector<const KernelSet*> sets;
  for (const KernelSet& set : kAllSets) {
    if ((set.needs & features) == set.needs) sets.push_back(&set);
  }
  return sets;
}

const KernelSet& find_set(const std::string& name) {
  std::string names;
  for (const KernelSet* set : available_sets()) {
    if (name == set->name) return *set;
    names += (names.empty() ? "" : ", ") + std::string(set->name);
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this CPU; available: " + names);
}

const KernelSet& active_set() {
  const KernelSet* set = g_active.load(std::memory_order_acquire);
  if (set != nullptr) return *set;
  const char* forced = std::getenv("PYCOMPRESS_ISA");
  set = (forced != nullptr && *forced != '\0') ? &find_set(forced) : available_sets().front();
  g_active.store(set, std::memory_order_release);
  return *set;
}

const Bf16Kernel& bf16_of(const KernelSet& set) {
  static const uint32_t features = cpu_features();
  for (const Bf16Row& row : kAllBf16) {
    if (set.name == std::string(row.set) && (row.needs & features) == row.needs) return *row.kernel;
  }
  throw std::logic_error("no bf16 kernel for the instruction set " + std::string(set.name));
}

void use_set(const std::string& name) {
  g_active.store(&find_set(name), std::memory_order_release);
}

}  // namespace pycompress
