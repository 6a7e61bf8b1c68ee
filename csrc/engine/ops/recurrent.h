// What LSTM, GRU and RNN share: one gemm for the inputs of all steps, then a gemm of the state for
// each step, whose residual is that step's part of the first. Gates and states are rows of a
// sequence, in float32; int8 weights meet rows that are quantized as they come. The two directions
// run side by side.
#pragma once
#include "engine/fused.h"
#include "engine/op.h"
#include "engine/ops/sequence.h"

namespace pycompress {

struct SequenceState;

// One direction's memory and place in the tensors.
struct Walk {
  int64_t d = 0;
  bool reversed = false;
  float* projected = nullptr;  // [steps * batch][gates * hidden], rows as in X
  float* gates = nullptr;      // [batch][gates * hidden]
  float* extra = nullptr;      // [batch][2 * hidden]
  float* h = nullptr;          // [batch][hidden]
  float* c = nullptr;
  uint8_t* rows = nullptr;  // for multiply_gates()
};

class Recurrent : public Op {
 public:
  // states: 1 when a cell keeps h, 2 when it keeps h and c.
  Recurrent(const NodeDef& node, int64_t gates, int states)
      : sequence_(node, gates), states_(states) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override;
  void run(const RunContext& run) const override;

 protected:
  // Computes h (and c) of the rows that are still running, from their gates' inputs at `projected`,
  // whose rows are `ld` apart.
  virtual void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
                    int64_t batch, ThreadPool* pool) const = 0;
  // What is added to the gates' inputs; by default both biases.
  virtual void epilogue_bias(int64_t d, float* bias) const;
  // Scratch for a product with the state.
  virtual size_t state_scratch(int64_t batch) const = 0;

  // y[batch][n] = h . R + what `epilogue` adds.
  static void multiply_state(const RunContext& run, const Walk& walk, const GateWeights& weights,
                             const float* h, int64_t batch, const Epilogue& epilogue, float* y,
                             int64_t ldy, ThreadPool* pool);
  void clamp(const RunContext& run, float* x, int64_t n) const;

  Sequence sequence_;

 private:
  void walk(const RunContext& run, int64_t d, bool even, ThreadPool* pool) const;
  void project(const RunContext& run, const Walk& walk, ThreadPool* pool) const;
  void uneven_step(const RunContext& run, const Walk& walk, int64_t i, ThreadPool* pool) const;
  int64_t row_of(const SequenceState& state, int64_t t, int64_t b) const;
  int64_t state_row(const SequenceState& state, int64_t d, int64_t b) const;
  void load_state(const RunContext& run, int i, int64_t d, int64_t b, float* to) const;
  void store_state(const RunContext& run, int i, int64_t d, int64_t b, const float* from) const;
  void store_row(const RunContext& run, int64_t t, int64_t d, int64_t b, const float* from) const;

  int states_;
};

// A layer whose weights are computed, or given with each call: `make` packs them anew in each run.
std::unique_ptr<Op> make_computed_recurrent(const NodeDef& node,
                                            std::unique_ptr<Op> (*make)(const NodeDef& node),
                                            int64_t gates);

}  // namespace pycompress
