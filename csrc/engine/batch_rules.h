// What becomes of the examples of a batch in one operator: where they lie in its results, if each
// of them depends on no other one.
#pragma once
#include <vector>

#include "engine/op.h"
#include "engine/program.h"

namespace pycompress {

// Where a value has the batch: an axis whose examples, one or more neighbouring places each, follow
// each other; or one of these.
constexpr int kWhole = -1;    // the value is the same whatever the batch
constexpr int kTangled = -2;  // none of this is known

// A node in a plan for a whole batch.
struct BatchNode {
  const ProgramNode& node;
  const NodeDef& def;  // its attributes
  int64_t batch;
  std::vector<const Shape*> in;        // null: absent
  std::vector<int> axis;               // of each input; kWhole where it is absent
  std::vector<const int64_t*> values;  // int64 inputs that are known, else null
  std::vector<const Shape*> out;
};

// The axis of each output.
std::vector<int> batch_axes(const BatchNode& node);

}  // namespace pycompress
