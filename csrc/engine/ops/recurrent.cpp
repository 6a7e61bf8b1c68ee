#include "engine/ops/recurrent.h"

#include <algorithm>
#include <cstring>

#include "engine/arena.h"

namespace pycompress {

struct SequenceState final : OpState {
  int64_t steps = 0, batch = 0;
  size_t direction_bytes = 0;  // scratch of one direction
  size_t rows_at = 0;          // in it: where rows are quantized
};

std::unique_ptr<OpState> Recurrent::plan(PlanContext& plan) const {
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

void Recurrent::run(const RunContext& run) const {
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

void Recurrent::epilogue_bias(int64_t d, float* bias) const {
  for (int64_t i = 0; i < sequence_.gates * sequence_.hidden; ++i)
    bias[i] = sequence_.input_bias(d)[i] + sequence_.recurrent_bias(d)[i];
}

void Recurrent::multiply_state(const RunContext& run, const Walk& walk, const GateWeights& weights,
                               const float* h, int64_t batch, const Epilogue& epilogue, float* y,
                               int64_t ldy, ThreadPool* pool) {
  // States lie in scratch, with more of it behind them.
  multiply_gates(run.set(), weights, h, true, batch, epilogue, y, ldy, walk.rows, pool);
}

void Recurrent::clamp(const RunContext& run, float* x, int64_t n) const {
  if (sequence_.clip > 0.0f)
    run.set().pointwise->unary(Unary::clip, x, n, -sequence_.clip, sequence_.clip, x);
}

void Recurrent::walk(const RunContext& run, int64_t d, bool even, ThreadPool* pool) const {
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

void Recurrent::project(const RunContext& run, const Walk& walk, ThreadPool* pool) const {
  const Sequence& s = sequence_;
  const auto& state = run.state<SequenceState>();
  epilogue_bias(walk.d, walk.gates);  // free until the first step
  Epilogue epilogue;
  epilogue.bias = walk.gates;
  const Tensor& x = run.input(0);
  multiply_gates(run.set(), s.input_weights[static_cast<size_t>(walk.d)], x.as<float>(), x.slack,
                 state.steps * state.batch, epilogue, walk.projected, s.gates * s.hidden, walk.rows,
                 pool);
}

// A step in which some sequences may have ended: the others go one by one, each at its own place.
void Recurrent::uneven_step(const RunContext& run, const Walk& walk, int64_t i,
                            ThreadPool* pool) const {
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

int64_t Recurrent::row_of(const SequenceState& state, int64_t t, int64_t b) const {
  return sequence_.batch_first ? b * state.steps + t : t * state.batch + b;
}

int64_t Recurrent::state_row(const SequenceState& state, int64_t d, int64_t b) const {
  return sequence_.batch_first ? b * sequence_.directions + d : d * state.batch + b;
}

void Recurrent::load_state(const RunContext& run, int i, int64_t d, int64_t b, float* to) const {
  const int64_t n = sequence_.hidden;
  if (!run.has(i)) {
    std::fill(to + b * n, to + (b + 1) * n, 0.0f);
    return;
  }
  const float* from = run.input(i).as<float>() + state_row(run.state<SequenceState>(), d, b) * n;
  std::copy(from, from + n, to + b * n);
}

void Recurrent::store_state(const RunContext& run, int i, int64_t d, int64_t b,
                            const float* from) const {
  const int64_t n = sequence_.hidden;
  std::copy(from + b * n, from + (b + 1) * n,
            run.output(i).as<float>() + state_row(run.state<SequenceState>(), d, b) * n);
}

void Recurrent::store_row(const RunContext& run, int64_t t, int64_t d, int64_t b,
                          const float* from) const {
  const auto& state = run.state<SequenceState>();
  const int64_t n = sequence_.hidden;
  const int64_t row = sequence_.batch_first ? (b * state.steps + t) * sequence_.directions + d
                                            : (t * sequence_.directions + d) * state.batch + b;
  std::copy(from, from + n, run.output(0).as<float>() + row * n);
}

}  // namespace pycompress
