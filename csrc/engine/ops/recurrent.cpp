// LSTM and GRU: one gemm for the inputs of all steps, then a gemm of the state for each step, whose
// residual is that step's part of the first. Gates and states are rows of a sequence, in float32;
// int8 weights meet rows that are quantized as they come. The two directions run side by side.
#include <algorithm>
#include <cstring>

#include "engine/arena.h"
#include "engine/fused.h"
#include "engine/ops/ops.h"
#include "engine/ops/sequence.h"

namespace pycompress {
namespace {

struct SequenceState final : OpState {
  int64_t steps = 0, batch = 0;
  size_t direction_bytes = 0;  // scratch of one direction
  size_t rows_at = 0;          // in it: where rows are quantized
};

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
  Recurrent(const NodeDef& node, int64_t gates, int states)
      : sequence_(node, gates), states_(states) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Sequence& s = sequence_;
    plan.need_dtype(0, DType::f32, "X");
    const Shape& x = plan.shape(0);
    if (x.rank() != 3 || x[2] != s.inputs)
      fail("input 0 (X) has shape " + x.str() + ", wanted [steps, batch, " + str(s.inputs) + "]");
    auto state = std::make_unique<SequenceState>();
    state->steps = x[s.batch_first ? 1 : 0];
    state->batch = x[s.batch_first ? 0 : 1];
    if (plan.has(4)) {
      plan.need_dtype(4, DType::s32, "sequence_lens");
      if (plan.shape(4).elements() != state->batch)
        fail("input 4 (sequence_lens) has shape " + plan.shape(4).str());
    }
    const Shape last = s.batch_first ? Shape{state->batch, s.directions, s.hidden}
                                     : Shape{s.directions, state->batch, s.hidden};
    for (int i = 5; i < 5 + states_; ++i) {
      if (!plan.has(i)) continue;
      plan.need_dtype(i, DType::f32, i == 5 ? "initial_h" : "initial_c");
      if (plan.shape(i) != last)
        fail("input " + str(i) + " has shape " + plan.shape(i).str() + ", wanted " + last.str());
    }
    plan.output(0, DType::f32,
                s.batch_first ? Shape{state->batch, state->steps, s.directions, s.hidden}
                              : Shape{state->steps, s.directions, state->batch, s.hidden});
    for (int i = 1; i < plan.outputs(); ++i) plan.output(i, DType::f32, last);
    const int64_t width = s.gates * s.hidden;
    const int64_t floats = state->steps * state->batch * width +
                           std::max<int64_t>(state->batch, 1) * width + 4 * state->batch * s.hidden;
    state->rows_at = padded_size(static_cast<size_t>(floats) * sizeof(float));
    state->direction_bytes =
        state->rows_at + std::max(s.input_weights[0].scratch(state->steps * state->batch),
                                  state_scratch(state->batch));
    plan.scratch(state->direction_bytes * static_cast<size_t>(s.directions));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<SequenceState>();
    bool even = true;
    for (int64_t b = 0; run.has(4) && b < state.batch; ++b) {
      const int32_t length = run.input(4).as<int32_t>()[b];
      if (length < 0 || length > state.steps)
        fail("sequence_lens has " + str(length) + ", X has " + str(state.steps) + " steps");
      even = even && length == state.steps;
    }
    if (!even) std::memset(run.output(0).data, 0, run.output(0).bytes());
    if (sequence_.directions == 1) return walk(run, 0, even, run.pool());
    parallel_for(run.pool(), 2, [&](int64_t d, int) { walk(run, d, even, nullptr); });
  }

 protected:
  // Computes h (and c) of the rows that are still running, from their gates' inputs at `projected`,
  // whose rows are `ld` apart.
  virtual void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
                    int64_t batch, ThreadPool* pool) const = 0;
  virtual void epilogue_bias(int64_t d, float* bias) const = 0;
  // Scratch for a product with the state.
  virtual size_t state_scratch(int64_t batch) const = 0;

  // y[batch][n] = h . R + what `epilogue` adds.
  static void multiply_state(const RunContext& run, const Walk& walk, const GateWeights& weights,
                             const float* h, int64_t batch, const Epilogue& epilogue, float* y,
                             int64_t ldy, ThreadPool* pool) {
    // States lie in scratch, with more of it behind them.
    multiply_gates(run.set(), weights, h, true, batch, epilogue, y, ldy, walk.rows, pool);
  }

  void clamp(const RunContext& run, float* x, int64_t n) const {
    if (sequence_.clip > 0.0f)
      run.set().pointwise->unary(Unary::clip, x, n, -sequence_.clip, sequence_.clip, x);
  }

  Sequence sequence_;

 private:
  void walk(const RunContext& run, int64_t d, bool even, ThreadPool* pool) const {
    const Sequence& s = sequence_;
    const auto& state = run.state<SequenceState>();
    const int64_t batch = state.batch;
    const int64_t width = s.gates * s.hidden;
    Walk walk;
    walk.d = d;
    walk.reversed = s.starts_reversed || d == 1;
    walk.projected =
        reinterpret_cast<float*>(run.scratch() + static_cast<size_t>(d) * state.direction_bytes);
    walk.gates = walk.projected + state.steps * batch * width;
    walk.extra = walk.gates + std::max<int64_t>(batch, 1) * width;
    walk.h = walk.extra + 2 * batch * s.hidden;
    walk.c = walk.h + batch * s.hidden;
    walk.rows = reinterpret_cast<uint8_t*>(walk.projected) + state.rows_at;
    for (int64_t b = 0; b < batch; ++b) {
      load_state(run, 5, d, b, walk.h);
      if (states_ > 1) load_state(run, 6, d, b, walk.c);
    }
    project(run, walk, pool);
    for (int64_t i = 0; i < state.steps; ++i) {
      if (even) {
        const int64_t t = walk.reversed ? state.steps - 1 - i : i;
        step(run, walk, walk.projected + row_of(state, t, 0) * width,
             s.batch_first ? state.steps * width : width, batch, pool);
        for (int64_t b = 0; b < batch; ++b) store_row(run, t, d, b, walk.h + b * s.hidden);
      } else {
        uneven_step(run, walk, i, pool);
      }
    }
    for (int64_t b = 0; b < batch; ++b) {
      if (run.wants(1)) store_state(run, 1, d, b, walk.h);
      if (states_ > 1 && run.wants(2)) store_state(run, 2, d, b, walk.c);
    }
  }

  void project(const RunContext& run, const Walk& walk, ThreadPool* pool) const {
    const Sequence& s = sequence_;
    const auto& state = run.state<SequenceState>();
    epilogue_bias(walk.d, walk.gates);  // free until the first step
    Epilogue epilogue;
    epilogue.bias = walk.gates;
    const Tensor& x = run.input(0);
    multiply_gates(run.set(), s.input_weights[static_cast<size_t>(walk.d)], x.as<float>(), x.slack,
                   state.steps * state.batch, epilogue, walk.projected, s.gates * s.hidden,
                   walk.rows, pool);
  }

  // A step in which some sequences may have ended: the others go one by one, each at its own place.
  void uneven_step(const RunContext& run, const Walk& walk, int64_t i, ThreadPool* pool) const {
    const Sequence& s = sequence_;
    const auto& state = run.state<SequenceState>();
    const int64_t width = s.gates * s.hidden;
    const int32_t* lengths = run.input(4).as<int32_t>();
    for (int64_t b = 0; b < state.batch; ++b) {
      if (i >= lengths[b]) continue;
      const int64_t t = walk.reversed ? lengths[b] - 1 - i : i;
      Walk one = walk;
      one.h = walk.h + b * s.hidden;
      one.c = walk.c + b * s.hidden;
      step(run, one, walk.projected + row_of(state, t, b) * width, width, 1, pool);
      store_row(run, t, walk.d, b, one.h);
    }
  }

  int64_t row_of(const SequenceState& state, int64_t t, int64_t b) const {
    return sequence_.batch_first ? b * state.steps + t : t * state.batch + b;
  }

  int64_t state_row(const SequenceState& state, int64_t d, int64_t b) const {
    return sequence_.batch_first ? b * sequence_.directions + d : d * state.batch + b;
  }

  void load_state(const RunContext& run, int i, int64_t d, int64_t b, float* to) const {
    const int64_t n = sequence_.hidden;
    if (!run.has(i)) {
      std::fill(to + b * n, to + (b + 1) * n, 0.0f);
      return;
    }
    const float* from = run.input(i).as<float>() + state_row(run.state<SequenceState>(), d, b) * n;
    std::copy(from, from + n, to + b * n);
  }

  void store_state(const RunContext& run, int i, int64_t d, int64_t b, const float* from) const {
    const int64_t n = sequence_.hidden;
    std::copy(from + b * n, from + (b + 1) * n,
              run.output(i).as<float>() + state_row(run.state<SequenceState>(), d, b) * n);
  }

  void store_row(const RunContext& run, int64_t t, int64_t d, int64_t b, const float* from) const {
    const auto& state = run.state<SequenceState>();
    const int64_t n = sequence_.hidden;
    const int64_t row = sequence_.batch_first ? (b * state.steps + t) * sequence_.directions + d
                                              : (t * sequence_.directions + d) * state.batch + b;
    std::copy(from, from + n, run.output(0).as<float>() + row * n);
  }

  int states_;
};

class Lstm final : public Recurrent {
 public:
  explicit Lstm(const NodeDef& node)
      : Recurrent(node, 4, 2),
        functions_(sequence_.read_functions(node, 3, {"Sigmoid", "Tanh", "Tanh"})),
        coupled_(node.flag("input_forget", false)),
        recurrent_(sequence_.pack_recurrent(node, 0, 4 * sequence_.hidden)) {
    if (node.has(7)) fail("input 7 (P): peepholes are not possible");
  }

 private:
  void epilogue_bias(int64_t d, float* bias) const override {
    for (int64_t i = 0; i < 4 * sequence_.hidden; ++i)
      bias[i] = sequence_.input_bias(d)[i] + sequence_.recurrent_bias(d)[i];
  }

  size_t state_scratch(int64_t batch) const override { return recurrent_[0].scratch(batch); }

  // Gates in the order i, o, f, c.
  void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
            int64_t batch, ThreadPool* pool) const override {
    const int64_t n = sequence_.hidden;
    const PointwiseKernels& pointwise = *run.set().pointwise;
    const Unary* f = functions_.data() + 3 * walk.d;
    Epilogue epilogue;
    epilogue.residual = projected;
    epilogue.residual_ld = ld;
    multiply_state(run, walk, recurrent_[static_cast<size_t>(walk.d)], walk.h, batch, epilogue,
                   walk.gates, 4 * n, pool);
    clamp(run, walk.gates, batch * 4 * n);
    for (int64_t b = 0; b < batch; ++b) {
      float* gate = walk.gates + b * 4 * n;
      float* c = walk.c + b * n;
      float* h = walk.h + b * n;
      pointwise.unary(f[0], gate, 3 * n, 0.0f, 0.0f, gate);
      pointwise.unary(f[1], gate + 3 * n, n, 0.0f, 0.0f, gate + 3 * n);
      for (int64_t i = 0; i < n; ++i) {
        const float forget = coupled_ ? 1.0f - gate[i] : gate[2 * n + i];
        c[i] = forget * c[i] + gate[i] * gate[3 * n + i];
      }
      pointwise.unary(f[2], c, n, 0.0f, 0.0f, h);
      pointwise.binary(Binary::mul, h, 1, gate + n, 1, n, h);
    }
  }

  std::vector<Unary> functions_;
  bool coupled_;
  std::vector<GateWeights> recurrent_;
};

class Gru final : public Recurrent {
 public:
  explicit Gru(const NodeDef& node)
      : Recurrent(node, 3, 1),
        functions_(sequence_.read_functions(node, 2, {"Sigmoid", "Tanh"})),
        reset_after_(node.flag("linear_before_reset", false)),
        update_reset_(sequence_.pack_recurrent(node, 0, 2 * sequence_.hidden)),
        candidate_(sequence_.pack_recurrent(node, 2 * sequence_.hidden, sequence_.hidden)) {}

 private:
  void epilogue_bias(int64_t d, float* bias) const override {
    const int64_t n = sequence_.hidden;
    for (int64_t i = 0; i < 3 * n; ++i) {
      // Behind the reset gate, the recurrent bias of the candidate is not added here.
      const bool apart = reset_after_ && i >= 2 * n;
      bias[i] = sequence_.input_bias(d)[i] + (apart ? 0.0f : sequence_.recurrent_bias(d)[i]);
    }
  }

  size_t state_scratch(int64_t batch) const override { return update_reset_[0].scratch(batch); }

  // Gates in the order z (update), r (reset), h (candidate).
  void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
            int64_t batch, ThreadPool* pool) const override {
    const int64_t n = sequence_.hidden;
    const PointwiseKernels& pointwise = *run.set().pointwise;
    const auto d = static_cast<size_t>(walk.d);
    const Unary* f = functions_.data() + 2 * walk.d;
    float* candidate = walk.extra;
    float* reset_h = walk.extra + batch * n;
    Epilogue epilogue;
    epilogue.residual = projected;
    epilogue.residual_ld = ld;
    multiply_state(run, walk, update_reset_[d], walk.h, batch, epilogue, walk.gates, 2 * n, pool);
    clamp(run, walk.gates, batch * 2 * n);
    pointwise.unary(f[0], walk.gates, batch * 2 * n, 0.0f, 0.0f, walk.gates);
    if (reset_after_) {
      Epilogue plain;
      plain.bias = sequence_.recurrent_bias(walk.d) + 2 * n;
      multiply_state(run, walk, candidate_[d], walk.h, batch, plain, candidate, n, pool);
      for (int64_t b = 0; b < batch; ++b) {
        float* row = candidate + b * n;
        pointwise.binary(Binary::mul, row, 1, walk.gates + b * 2 * n + n, 1, n, row);
        pointwise.binary(Binary::add, row, 1, projected + b * ld + 2 * n, 1, n, row);
      }
    } else {
      for (int64_t b = 0; b < batch; ++b) {
        pointwise.binary(Binary::mul, walk.h + b * n, 1, walk.gates + b * 2 * n + n, 1, n,
                         reset_h + b * n);
      }
      epilogue.residual = projected + 2 * n;
      multiply_state(run, walk, candidate_[d], reset_h, batch, epilogue, candidate, n, pool);
    }
    clamp(run, candidate, batch * n);
    pointwise.unary(f[1], candidate, batch * n, 0.0f, 0.0f, candidate);
    for (int64_t b = 0; b < batch; ++b) {
      const float* z = walk.gates + b * 2 * n;
      float* h = walk.h + b * n;
      for (int64_t i = 0; i < n; ++i) h[i] = (1.0f - z[i]) * candidate[b * n + i] + z[i] * h[i];
    }
  }

  std::vector<Unary> functions_;
  bool reset_after_;
  std::vector<GateWeights> update_reset_;
  std::vector<GateWeights> candidate_;
};

}  // namespace

OpPtr make_lstm(const NodeDef& node) { return std::make_unique<Lstm>(node); }
OpPtr make_gru(const NodeDef& node) { return std::make_unique<Gru>(node); }

OpPtr make_recurrent(const NodeDef& node) {
  const std::string cell = node.text("cell", "");
  node.ignore({"dynamic"});  // the weights' type says so
  if (cell == "LSTM") return make_lstm(node);
  if (cell == "GRU") return make_gru(node);
  fail("attribute 'cell' must be LSTM or GRU, found '" + cell + "'");
}

}  // namespace pycompress
