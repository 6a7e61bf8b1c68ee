// THE table of the engine's operators.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/op.h"

namespace pycompress {

struct OpEntry {
  const char* name;  // ONNX operators in their own spelling, preset formats in lower case
  std::unique_ptr<Op> (*make)(const NodeDef& node);
  int min_inputs;
  int max_inputs;  // kMany: no limit
  int max_outputs;
};
constexpr int kMany = 1 << 20;

const OpEntry* find_op(const std::string& name);  // null when there is none
std::vector<std::string> op_names();

}  // namespace pycompress
