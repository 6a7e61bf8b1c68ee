// A program: a model's operators in the order in which they run, made once, planned per signature
// of input shapes.
#pragma once
#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/op.h"
#include "engine/registry.h"

namespace pycompress {

class Plan;

struct ProgramValue {
  enum class Kind { constant, input, computed };
  Kind kind = Kind::computed;
  Tensor tensor;                // constants: data is null once released
  std::shared_ptr<void> owner;  // keeps a constant's memory alive
  int readers = 0;              // nodes that still need a constant's bytes
  std::string name;             // inputs
  bool by_value = false;        // inputs: the values decide shapes

  // A constant whose bytes are released, or never came as others have packed them.
  bool is_hollow() const {
    return kind == Kind::constant && tensor.data == nullptr && tensor.elements() > 0;
  }
};

// What a node took while it was timed; the last call stands beside the sum of all.
struct NodeTimes {
  int64_t calls = 0;
  int64_t nanoseconds = 0;
  int64_t last_start = 0;  // of the steady clock
  int64_t last_nanoseconds = 0;
  Shape last_shape;  // of the first output
};

class NodeClock {
 public:
  void add(int64_t start, int64_t nanoseconds, const Shape& shape) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++times_.calls;
    times_.nanoseconds += nanoseconds;
    times_.last_start = start;
    times_.last_nanoseconds = nanoseconds;
    times_.last_shape = shape;
  }
  NodeTimes times() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return times_;
  }

 private:
  mutable std::mutex mutex_;
  NodeTimes times_;
};

struct ProgramNode {
  const OpEntry* entry = nullptr;
  std::string name;
  std::vector<int> inputs;  // -1: absent
  std::vector<int> outputs;
  std::unique_ptr<Op> op;
  Attrs attrs;        // without arrays, but for those of int64
  PackStore weights;  // what the operator packed
  int index = 0;      // how many were added before it
  NodeClock clock;

  std::string title() const { return std::string(entry->name) + " '" + name + "'"; }
};

struct ProgramStats {
  size_t arena_bytes = 0;
  size_t constant_bytes = 0;
  int plans = 0;
  int steps = 0;   // operators that run, in the plan used last
  int folded = 0;  // operators that were computed while that plan was made
};

class Program {
 public:
  Program(const KernelSet& set, int threads);
  ~Program();

  // Each returns the new value's id; add() those of the outputs. They throw std::invalid_argument
  // that names what is wrong.
  // A constant whose data are null has its values only in the packed weights of its readers.
  int constant(const Tensor& tensor, std::shared_ptr<void> owner);
  int input(const std::string& name, DType dtype, bool by_value);
  // weights: what the operator packed in a program like this one, kept in a file.
  std::vector<int> add(const std::string& op, const std::string& name,
                       const std::vector<int>& inputs, int outputs, const Attrs& attrs,
                       PackStore weights = {});
  void finish(const std::vector<int>& outputs);

  // The plan for inputs of these shapes (and values, where they decide shapes); made when it is
  // new. The types must be right already. Safe from many threads.
  std::shared_ptr<Plan> plan_for(const std::vector<Tensor>& inputs);

  const std::vector<int>& input_ids() const { return inputs_; }
  const std::vector<int>& output_ids() const { return outputs_; }
  const std::vector<ProgramValue>& values() const { return values_; }
  std::vector<std::unique_ptr<ProgramNode>>& nodes() { return nodes_; }
  const KernelSet& set() const { return set_; }
  ThreadPool* pool() { return &pool_; }
  bool finished() const { return finished_; }

  void set_profiling(bool on) { profiling_ = on; }
  bool profiling() const { return profiling_; }
  // Fills the arena with NaN before every run, so that a value that is read after its memory was
  // given away shows.
  void set_poison(bool on) { poison_ = on; }
  bool poison() const { return poison_; }
  ProgramStats stats();

 private:
  void need_building() const;

  const KernelSet& set_;
  ThreadPool pool_;
  std::vector<ProgramValue> values_;
  std::vector<std::unique_ptr<ProgramNode>> nodes_;
  std::vector<int> inputs_;
  std::vector<int> outputs_;
  int added_ = 0;
  bool finished_ = false;
  std::atomic<bool> profiling_{false};
  std::atomic<bool> poison_{false};
  std::mutex plans_mutex_;
  std::list<std::pair<std::string, std::shared_ptr<Plan>>> plans_;  // most recently used first
};

}  // namespace pycompress
