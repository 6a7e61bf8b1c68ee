// The table of kernel sets and the choice of one.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"

namespace pycompress {

// Sets that this CPU can run, best first.
std::vector<const KernelSet*> available_sets();

// The active set: the best one, or what PYCOMPRESS_ISA or use_set() named. Throws
// std::invalid_argument that names the set and those available when it is unknown or the CPU cannot
// run it.
const KernelSet& active_set();
const KernelSet& find_set(const std::string& name);
void use_set(const std::string& name);

// The bf16 kernel that goes with a set on this CPU.
const Bf16Kernel& bf16_of(const KernelSet& set);

}  // namespace pycompress
