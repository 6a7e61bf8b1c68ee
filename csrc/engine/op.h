// What an operator is: one object per node, made once; planned once per signature of input shapes;
// run many times.
//
// Three kinds of state, so that one program can run in many threads at once:
//   the Op itself       packed weights, parsed attributes: made in its constructor, const
//   afterwards its OpState         offset tables and the like for one set of shapes: returned by
//   plan(), const afterwards, shared by
//                       all instances of the plan
//   scratch, persistent memory of one running instance, asked for in plan(): scratch holds garbage
//   at the start of
//                       each run, persistent starts as zeros and keeps what run() left there
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/attrs.h"
#include "engine/tensor.h"
#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

struct OpState {
  virtual ~OpState() = default;
};

// What is known of one value while a plan is made.
struct PlanValue {
  DType dtype = DType::f32;
  Shape shape;
  const Tensor* known = nullptr;  // its value, when that does not depend on the graph's inputs
};

class PlanContext {
 public:
  PlanContext(const KernelSet& set, ThreadPool* pool, std::vector<const PlanValue*> inputs,
              int outputs);

  const KernelSet& set() const { return set_; }
  ThreadPool* pool() const { return pool_; }
  int threads() const { return pool_ == nullptr ? 1 : pool_->size(); }

  int inputs() const { return static_cast<int>(inputs_.size()); }
  int outputs() const { return static_cast<int>(outputs_.size()); }
  bool has(int i) const { return i < inputs() && inputs_[static_cast<size_t>(i)] != nullptr; }
  const Shape& shape(int i) const { return value(i).shape; }
  DType dtype(int i) const { return value(i).dtype; }
  const Tensor* known(int i) const { return has(i) ? value(i).known : nullptr; }
  // An integer input whose value decides shapes, as int64; `what` is its ONNX name. Throws when it
  // is not known.
  std::vector<int64_t> integers(int i, const char* what) const;
  // Throws unless input i has this type; `what` is its ONNX name.
  void need_dtype(int i, DType dtype, const char* what) const;

  // Every output has to be set. The shape is checked here.
  void output(int i, DType dtype, const Shape& shape);
  // Output i has the elements of input `in` in the same order: it shares the storage and run() is
  // never called when all outputs are views.
  void view(int i, int in);
  // Output i may be written over input `in` if nobody reads that later; both have the same number
  // of bytes, and run() reads an element before it writes the one at the same place, and none
  // later.
  void in_place(int i, int in);
  // Output i is known already (Shape, Size). The values are copied.
  void known_output(int i, const std::vector<int64_t>& values);
  void scratch(size_t bytes) { scratch_ = bytes; }
  void persistent(size_t bytes) { persistent_ = bytes; }

 private:
  friend class Planner;
  const PlanValue& value(int i) const { return *inputs_[static_cast<size_t>(i)]; }

  struct Output {
    bool set = false;
    DType dtype = DType::f32;
    Shape shape;
    int view_of = -1;
    std::vector<int> over;  // inputs that it may be written over, best first
    bool known = false;
    std::vector<int64_t> values;
  };
  const KernelSet& set_;
  ThreadPool* pool_;
  std::vector<const PlanValue*> inputs_;
  std::vector<Output> outputs_;
  size_t scratch_ = 0;
  size_t persistent_ = 0;
};

// Tensors of one call. Graph inputs and constants are the caller's memory: they have no slack
// (Tensor::slack) and are never written.
class RunContext {
 public:
  const KernelSet& set() const { return *set_; }
  ThreadPool* pool() const { return pool_; }
  bool has(int i) const { return i < input_count_ && inputs_[i] != nullptr; }
  int inputs() const { return input_count_; }
  int outputs() const { return output_count_; }
  const Tensor& input(int i) const { return *inputs_[i]; }
  const Tensor& output(int i) const { return *outputs_[i]; }
  bool wants(int i) const { return i < output_count_ && outputs_[i] != nullptr; }
  uint8_t* scratch() const { return scratch_; }        // 64-byte aligned
  uint8_t* persistent() const { return persistent_; }  // 64-byte aligned
  template <typename T>
  const T& state() const {
    return static_cast<const T&>(*state_);
  }

 private:
  friend class Planner;
  friend class Instance;
  const KernelSet* set_ = nullptr;
  ThreadPool* pool_ = nullptr;
  const Tensor* const* inputs_ = nullptr;
  const Tensor* const* outputs_ = nullptr;
  int input_count_ = 0;
  int output_count_ = 0;
  uint8_t* scratch_ = nullptr;
  uint8_t* persistent_ = nullptr;
  const OpState* state_ = nullptr;
};

class Op;

// An operator whose only output is read by one other alone, which is asked to compute it along the
// way: run() then finds its inputs from number `at` on, and its own in front of them, without the
// output.
struct Preceding {
  const Op& op;
  std::unique_ptr<OpState>& state;  // to be taken
  int at = 0;
  int threads = 1;
};

class Op {
 public:
  virtual ~Op() = default;
  // Sets the outputs' types and shapes, asks for memory, and returns its tables for these shapes,
  // if it has any.
  virtual std::unique_ptr<OpState> plan(PlanContext& plan) const = 0;
  virtual void run(const RunContext& run) const = 0;
  // Whether it took over what gives its input 0; state: its own. *scratch grows by what that takes.
  virtual bool take_over(const Preceding&, OpState*, size_t*) const { return false; }
};

// Runs body(begin, end) over pieces of [0, n), in threads when n * cost is worth it. cost: work per
// item in units of one float operation of a vectorised loop.
template <typename Body>
void parallel_ranges(ThreadPool* pool, int64_t n, double cost, const Body& body) {
  constexpr double kGrain = 8192;  // from half a microsecond of work to several
  const int threads = pool == nullptr ? 1 : pool->size();
  const auto most = static_cast<int64_t>(static_cast<double>(n) * cost / kGrain);
  const int64_t pieces = most < threads ? most : threads;
  if (pieces <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
  parallel_for(pool, pieces, [&](int64_t piece, int) {
    const int64_t begin = n * piece / pieces;
    const int64_t end = n * (piece + 1) / pieces;
    if (begin < end) body(begin, end);
  });
}

}  // namespace pycompress
