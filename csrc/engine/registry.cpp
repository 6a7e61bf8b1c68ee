#include "engine/registry.h"

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// clang-format off
constexpr OpEntry kOps[] = {
//  name                 make                inputs     outputs
    {"Identity",         make_identity,      1, 1,      1},
};
// clang-format on

}  // namespace

const OpEntry* find_op(const std::string& name) {
  for (const OpEntry& entry : kOps) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpEntry& entry : kOps) names.emplace_back(entry.name);
  return names;
}

}  // namespace pycompress
