#include "engine/data_op.h"

namespace pycompress {
namespace {

constexpr DataEntry kOps[] = {
    // name               make                      inputs outputs
    {"NonZero", make_non_zero, 1, 1, 1},
    {"Compress", make_compress, 2, 2, 1},
    {"Unique", make_unique_op, 1, 1, 4},
    {"NonMaxSuppression", make_non_max_suppression, 2, 5, 1},
};

}  // namespace

const DataEntry* find_data_op(const std::string& name) {
  for (const DataEntry& entry : kOps) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

std::vector<std::string> data_op_names() {
  std::vector<std::string> names;
  for (const DataEntry& entry : kOps) names.emplace_back(entry.name);
  return names;
}

}  // namespace pycompress
