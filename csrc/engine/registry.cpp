#include "engine/registry.h"

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// clang-format off
constexpr OpEntry kOps[] = {
//  name                 make                inputs     outputs
    {"Identity",         make_identity,      1, 1,      1},
    {"Reshape",          make_reshape,       2, 2,      1},
    {"Flatten",          make_flatten,       1, 1,      1},
    {"Squeeze",          make_squeeze,       1, 2,      1},
    {"Unsqueeze",        make_unsqueeze,     2, 2,      1},
    {"Shape",            make_shape,         1, 1,      1},
    {"Size",             make_size,          1, 1,      1},
    {"Transpose",        make_transpose,     1, 1,      1},
    {"Concat",           make_concat,        1, kMany,  1},
    {"Split",            make_split,         1, 2,      kMany},
    {"Slice",            make_slice,         3, 5,      1},
    {"conv",             make_conv,          2, 4,      1},
    {"ConvInteger",      make_conv_integer,  2, 4,      1},
    {"conv_transpose",   make_conv_transpose, 2, 3,     1},
    {"MaxPool",          make_max_pool,      1, 1,      2},
    {"AveragePool",      make_average_pool,  1, 1,      1},
    {"GlobalMaxPool",    make_global_max_pool, 1, 1,    1},
    {"GlobalAveragePool", make_global_average_pool, 1, 1, 1},
    {"q_global_average_pool", make_q_global_average_pool, 1, 1, 1},
    {"Resize",           make_resize,        1, 4,      1},
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
