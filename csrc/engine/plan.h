// A plan: the steps, shapes and memory layout of a program for one signature of inputs; and its
// instances, each of which one thread at a time can run.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/op.h"
#include "engine/thread_choice.h"
#include "gemm/gemm.h"

namespace pycompress {

class Batch;
class Program;
struct ProgramNode;

// Where a value's elements are during a run.
struct Place {
  enum class Kind { constant, input, output, arena };
  Kind kind = Kind::arena;
  void* data = nullptr;  // constant
  size_t index = 0;      // input or output: its number; arena: the offset
  bool slack = false;
};

struct Step {
  ProgramNode* node = nullptr;
  std::unique_ptr<OpState> state;
  std::vector<int> inputs;  // numbers of the plan's values; -1: absent
  std::vector<int> outputs;
  size_t scratch = 0;     // offsets in the arena
  size_t persistent = 0;  // behind it
};

struct PlannedValue {
  DType dtype = DType::f32;
  Shape shape;
  Place place;
};

// A graph output that cannot be written where the caller wants it (a constant, an input, an output
// twice).
struct OutputCopy {
  int value = 0;
  size_t output = 0;
};

class Instance;

class Plan {
 public:
  ~Plan();
  const std::vector<PlannedValue>& values() const { return values_; }
  const std::vector<PlannedValue>& outputs() const { return outputs_; }
  size_t arena_bytes() const { return arena_bytes_ + persistent_bytes_; }
  size_t step_count() const { return steps_.size(); }
  int folded_count() const { return folded_; }
  size_t instances() const;
  // Runs in parts instead, where it has them.
  void set_batch(std::unique_ptr<Batch> batch);
  const Batch* batch() const { return batch_.get(); }

  // Of a plan that has a pool and no parts.
  ThreadChoice& threads() { return threads_; }

  // Takes an idle instance, makes one, or waits when there are as many as can be useful at once.
  // give_back() when done.
  Instance* take();
  void give_back(Instance* instance);

 private:
  friend class Planner;
  friend class Instance;
  Plan();

  const KernelSet* set_ = nullptr;
  ThreadPool* pool_ = nullptr;
  std::vector<PlannedValue> values_;
  std::vector<Step> steps_;
  std::vector<PlannedValue> outputs_;
  std::vector<OutputCopy> copies_;
  std::vector<AlignedBuffer> constants_;  // computed while planning
  size_t arena_bytes_ = 0;
  size_t persistent_bytes_ = 0;
  int folded_ = 0;
  std::unique_ptr<Batch> batch_;
  ThreadChoice threads_;

  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Instance>> all_;
  std::vector<Instance*> idle_;
};

// One set of memory in which a plan runs.
class Instance {
 public:
  explicit Instance(const Plan& plan);
  // The operators split their work over the plan's pool, or do not.
  void split(bool over_pool);
  void poison();  // fills the arena with NaN
  // Where a value is in a run with these outputs.
  void* place_of(int value, const std::vector<void*>& outputs) const;
  // inputs, outputs: one pointer per graph input and output.
  void run(const std::vector<void*>& inputs, const std::vector<void*>& outputs, bool profiling);

 private:
  const Plan& plan_;
  AlignedBuffer memory_;
  std::vector<Tensor> tensors_;
  std::vector<const Tensor*> pointers_;
  std::vector<RunContext> contexts_;
  bool split_ = true;
};

// Holds an instance for the length of one run.
class Lease {
 public:
  explicit Lease(std::shared_ptr<Plan> plan) : plan_(std::move(plan)), instance_(plan_->take()) {}
  ~Lease() { plan_->give_back(instance_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Instance* operator->() const { return instance_; }
  Plan& plan() const { return *plan_; }
  Instance* get() const { return instance_; }

 private:
  std::shared_ptr<Plan> plan_;
  Instance* instance_;
};

// Some of a program's nodes, [first, last). `given` are values of nodes before them, which whoever
// runs the plan writes to where Instance::place_of() says; `outputs` is what comes out.
struct Stretch {
  size_t first = 0, last = 0;
  std::vector<int> given, outputs;
};

// pool: what the operators split their work over; null: nothing. stretch: null for all nodes.
std::shared_ptr<Plan> make_plan(Program* program, const std::vector<Tensor>& inputs,
                                ThreadPool* pool, const Stretch* stretch = nullptr);

// Split over the pool or not, as the plan's choice is.
void run_instance(Plan* plan, Instance* instance, ThreadPool* pool,
                  const std::vector<void*>& inputs, const std::vector<void*>& outputs,
                  bool profiling);

// inputs, outputs: one pointer per graph input and output.
void run_plan(const std::shared_ptr<Plan>& plan, ThreadPool* pool, const std::vector<void*>& inputs,
              const std::vector<void*>& outputs, bool profiling, bool poison);

}  // namespace pycompress
