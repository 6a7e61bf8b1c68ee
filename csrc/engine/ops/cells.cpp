// One step of LSTM, GRU and RNN.
#include "engine/ops/gate_functions.h"
#include "engine/ops/ops.h"
#include "engine/ops/recurrent.h"

namespace pycompress {
namespace {

class Lstm final : public Recurrent {
 public:
  explicit Lstm(const NodeDef& node)
      : Recurrent(node, 4, 2),
        functions_(read_gate_functions(node, sequence_.directions, 3, {"Sigmoid", "Tanh", "Tanh"})),
        coupled_(node.flag("input_forget", false)),
        recurrent_(sequence_.pack_recurrent(node, 0, 4 * sequence_.hidden)) {
    if (!node.has(7)) return;
    const Tensor& p = node.need_constant(7, "P");
    const Shape wanted{sequence_.directions, 3 * sequence_.hidden};
    if (p.dtype != DType::f32 || p.shape != wanted)
      fail("input 7 (P) has shape " + p.shape.str() + ", wanted " + wanted.str());
    peepholes_.assign(p.as<float>(), p.as<float>() + p.elements());
  }

 private:
  size_t state_scratch(int64_t batch) const override { return recurrent_[0].scratch(batch); }

  // Gates in the order i, o, f, c; peepholes in the order i, o, f.
  void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
            int64_t batch, ThreadPool* pool) const override {
    const int64_t n = sequence_.hidden;
    const PointwiseKernels& pointwise = *run.set().pointwise;
    const GateFunction* f = functions_.data() + 3 * walk.d;
    const float* peep = peepholes_.empty() ? nullptr : peepholes_.data() + walk.d * 3 * n;
    Epilogue epilogue;
    epilogue.residual = projected;
    epilogue.residual_ld = ld;
    multiply_state(run, walk, recurrent_[static_cast<size_t>(walk.d)], walk.h, batch, epilogue,
                   walk.gates, 4 * n, pool);
    if (peep == nullptr) clamp(run, walk.gates, batch * 4 * n);
    for (int64_t b = 0; b < batch; ++b) {
      float* gate = walk.gates + b * 4 * n;
      float* c = walk.c + b * n;
      float* h = walk.h + b * n;
      if (peep == nullptr) {
        f[0](pointwise, gate, 3 * n, gate);
      } else {
        look(peep, c, n, gate);
        look(peep + 2 * n, c, n, gate + 2 * n);
        clamp(run, gate, n);
        clamp(run, gate + 2 * n, 2 * n);
        f[0](pointwise, gate, n, gate);
        f[0](pointwise, gate + 2 * n, n, gate + 2 * n);
      }
      f[1](pointwise, gate + 3 * n, n, gate + 3 * n);
      for (int64_t i = 0; i < n; ++i) {
        const float forget = coupled_ ? 1.0f - gate[i] : gate[2 * n + i];
        c[i] = forget * c[i] + gate[i] * gate[3 * n + i];
      }
      if (peep != nullptr) {  // the output gate looks at the new state
        look(peep + n, c, n, gate + n);
        clamp(run, gate + n, n);
        f[0](pointwise, gate + n, n, gate + n);
      }
      f[2](pointwise, c, n, h);
      pointwise.binary(Binary::mul, h, 1, gate + n, 1, n, h);
    }
  }

  static void look(const float* peephole, const float* c, int64_t n, float* gate) {
    for (int64_t i = 0; i < n; ++i) gate[i] += peephole[i] * c[i];
  }

  std::vector<GateFunction> functions_;
  bool coupled_;
  std::vector<GateWeights> recurrent_;
  std::vector<float> peepholes_;  // [directions][3 * hidden]; empty when there are none
};

class Gru final : public Recurrent {
 public:
  explicit Gru(const NodeDef& node)
      : Recurrent(node, 3, 1),
        functions_(read_gate_functions(node, sequence_.directions, 2, {"Sigmoid", "Tanh"})),
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
    const GateFunction* f = functions_.data() + 2 * walk.d;
    float* candidate = walk.extra;
    float* reset_h = walk.extra + batch * n;
    Epilogue epilogue;
    epilogue.residual = projected;
    epilogue.residual_ld = ld;
    multiply_state(run, walk, update_reset_[d], walk.h, batch, epilogue, walk.gates, 2 * n, pool);
    clamp(run, walk.gates, batch * 2 * n);
    f[0](pointwise, walk.gates, batch * 2 * n, walk.gates);
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
    f[1](pointwise, candidate, batch * n, candidate);
    for (int64_t b = 0; b < batch; ++b) {
      const float* z = walk.gates + b * 2 * n;
      float* h = walk.h + b * n;
      for (int64_t i = 0; i < n; ++i) h[i] = (1.0f - z[i]) * candidate[b * n + i] + z[i] * h[i];
    }
  }

  std::vector<GateFunction> functions_;
  bool reset_after_;
  std::vector<GateWeights> update_reset_;
  std::vector<GateWeights> candidate_;
};

class Rnn final : public Recurrent {
 public:
  explicit Rnn(const NodeDef& node)
      : Recurrent(node, 1, 1),
        functions_(read_gate_functions(node, sequence_.directions, 1, {"Tanh"})),
        recurrent_(sequence_.pack_recurrent(node, 0, sequence_.hidden)) {}

 private:
  size_t state_scratch(int64_t batch) const override { return recurrent_[0].scratch(batch); }

  void step(const RunContext& run, const Walk& walk, const float* projected, int64_t ld,
            int64_t batch, ThreadPool* pool) const override {
    const int64_t n = sequence_.hidden;
    const auto d = static_cast<size_t>(walk.d);
    Epilogue epilogue;
    epilogue.residual = projected;
    epilogue.residual_ld = ld;
    multiply_state(run, walk, recurrent_[d], walk.h, batch, epilogue, walk.gates, n, pool);
    clamp(run, walk.gates, batch * n);
    functions_[d](*run.set().pointwise, walk.gates, batch * n, walk.h);
  }

  std::vector<GateFunction> functions_;
  std::vector<GateWeights> recurrent_;
};

template <typename Cell>
OpPtr with_constants(const NodeDef& node) {
  return std::make_unique<Cell>(node);
}

struct CellEntry {
  const char* name;
  OpPtr (*make)(const NodeDef& node);
  int64_t gates;
};

constexpr CellEntry kCells[] = {
    {"LSTM", with_constants<Lstm>, 4},
    {"GRU", with_constants<Gru>, 3},
    {"RNN", with_constants<Rnn>, 1},
};

// Weights are inputs 1 (W), 2 (R), 3 (B) and 7 (P).
bool has_constant_weights(const NodeDef& node) {
  for (const int i : {1, 2, 3, 7}) {
    if (node.has(i) && node.constant(i) == nullptr) return false;
  }
  return true;
}

OpPtr make_cell(const NodeDef& node, const CellEntry& cell) {
  if (has_constant_weights(node)) return cell.make(node);
  return make_computed_recurrent(node, cell.make, cell.gates);
}

}  // namespace

OpPtr make_lstm(const NodeDef& node) { return make_cell(node, kCells[0]); }
OpPtr make_gru(const NodeDef& node) { return make_cell(node, kCells[1]); }
OpPtr make_rnn(const NodeDef& node) { return make_cell(node, kCells[2]); }

OpPtr make_recurrent(const NodeDef& node) {
  const std::string name = node.text("cell", "");
  node.ignore({"dynamic"});  // the weights' type says so
  for (const CellEntry& cell : kCells) {
    if (name == cell.name) return cell.make(node);
  }
  fail("attribute 'cell' must be LSTM, GRU or RNN, found '" + name + "'");
}

}  // namespace pycompress
