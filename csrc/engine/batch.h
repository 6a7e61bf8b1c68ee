// A batch in parts: a program whose examples do not depend on each other runs for some of them at a
// time. What one part keeps between operators stays in the second-level cache, and threads work on
// parts of their own instead of meeting behind every operator. Where examples meet only later on,
// as in a recurrent layer that goes over all of them, the nodes before that run in parts, and those
// behind as one. The same bits.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/plan.h"

namespace pycompress {

class Batch {
 public:
  // Null when a plan had better run as it is, or examples may depend on each other. `plan` is the
  // program's for these inputs.
  static std::unique_ptr<Batch> split(Program* program, const Plan& plan,
                                      const std::vector<Tensor>& inputs);

  void run(ThreadPool* pool, const std::vector<void*>& inputs, const std::vector<void*>& outputs,
           bool profiling, bool poison) const;
  size_t arena_bytes() const;  // of all instances

 private:
  void run_parts(ThreadPool* pool, const std::vector<void*>& inputs,
                 const std::vector<void*>& outputs, bool profiling, bool poison) const;

  // `count` parts of `size` examples each, from example `first` on.
  struct Parts {
    std::shared_ptr<Plan> plan;
    int64_t first = 0, count = 0, size = 0;
  };
  std::vector<Parts> parts_;
  // What the parts give, and who goes on with it; null: they give the program's outputs.
  std::vector<int> given_;
  std::shared_ptr<Plan> rest_;
  std::vector<int64_t> in_bytes_, out_bytes_;  // from one example to the next; 0: for all the same
};

}  // namespace pycompress
