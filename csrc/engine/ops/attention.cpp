// attention: softmax(alpha * Q K' + mask) V for every batch and head, in blocks of rows whose
// scores stay in cache. Q, K and V are read where they lie, [batch, rows, heads, depth], or
// [batch, heads, rows, depth] where `heads_first` says so, and so is the result written: nothing is
// transposed in memory. With `heads` they are columns of wider rows, [batch, rows, columns], from
// `offsets` on: what a layer gives that computes all three. K and V may have fewer heads than Q,
// each of which then serves as many neighbours (grouped queries), and what has one example or one
// head serves all. With `nan_to_zero` a row of weights that are no numbers counts as zeros: what a
// row gives whose keys are all masked by -inf.
#include <algorithm>
#include <cmath>

#include "engine/arena.h"
#include "engine/ops/ops.h"
#include "engine/panels.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

// Scores of one block: with the packed keys and values beside them they should fit into L2.
constexpr int64_t kScoreBytes = 128 * 1024;

struct AttentionState final : OpState {
  int64_t batch = 0, rows = 0, heads = 0, depth = 0;  // of Q
  int64_t keys = 0, width = 0;                        // rows of K and V, depth of V
  int64_t shared[4] = {1, 1, 1, 1};                   // heads of the result to one of Q, K and V
  int64_t batch_step[4] = {};                         // of Q, K, V and the result, in elements:
  int64_t head_step[4] = {};                          // from batch to batch, head to head
  int64_t step[4] = {};                               // and row to row
  int64_t block = 0;                                  // rows of Q at a time
  int64_t mask_strides[4] = {};                       // in elements: batch, head, row, key
  int64_t ld = 0;                                     // of the scores: whole lines
  std::vector<float> scale;                           // alpha for each key
  size_t scores_bytes = 0;
};

class Attention final : public Op {
 public:
  explicit Attention(const NodeDef& node)
      : alpha_(node.number("alpha", 1.0f)),
        heads_(node.integer("heads", 0)),
        depth_(node.integer("depth", 0)),
        offsets_(node.integers("offsets")),
        heads_first_(node.integers("heads_first")),
        nan_to_zero_(node.flag("nan_to_zero", false)) {
    if (heads_first_.empty()) heads_first_.assign(4, 0);
    if (heads_first_.size() != 4) fail("attribute 'heads_first' must have 4 values");
    if (heads_ == 0) offsets_.assign(3, 0);
    if (heads_ < 0 || (heads_ > 0 && depth_ < 1))
      fail("attributes 'heads' and 'depth' must be positive");
    if (offsets_.size() != 3) fail("attribute 'offsets' must have 3 values");
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape q = heads_of(plan, 0, "Q");
    const Shape k = heads_of(plan, 1, "K");
    const Shape v = heads_of(plan, 2, "V");
    auto state = std::make_unique<AttentionState>();
    state->batch = q[0];
    state->heads = q[2];
    for (const Shape& part : {k, v}) {
      if (state->batch == 1) state->batch = part[0];
      if (state->heads == 1) state->heads = part[2];
    }
    const auto fits = [&](const Shape& part) {
      const bool heads = part[2] > 0 ? state->heads % part[2] == 0 : state->heads == 0;
      return (part[0] == state->batch || part[0] == 1) && heads;
    };
    const bool plain = q[2] == state->heads || q[2] == 1;
    if (!plain || !fits(q) || !fits(k) || !fits(v) || k[3] != q[3] || v[1] != k[1]) {
      fail("shapes " + q.str() + ", " + k.str() + " and " + v.str() + " of Q, K and V do not fit");
    }
    state->rows = q[1];
    state->depth = q[3];
    state->keys = k[1];
    state->width = v[3];
    const int64_t batch = state->batch;
    const int64_t heads = state->heads;
    const Shape parts[4] = {q, k, v, Shape{batch, q[1], heads, v[3]}};
    for (int i = 0; i < 4; ++i) {
      place(parts[i], i, i < 3 ? &plan.shape(i) : nullptr, state.get());
      if (parts[i][0] == 1) state->batch_step[i] = 0;  // the same for all examples
      if (parts[i][2] > 0) state->shared[i] = heads / parts[i][2];
    }
    state->scale.assign(static_cast<size_t>(state->keys), alpha_);
    if (plan.has(3)) place_mask(plan, state.get());
    state->ld = round_up(std::max<int64_t>(1, state->keys), 16);
    const int64_t row_bytes = state->ld * 4;
    state->block =
        std::clamp<int64_t>(kScoreBytes / row_bytes / 12 * 12, 12, std::max<int64_t>(12, q[1]));
    state->scores_bytes = padded_size(static_cast<size_t>(state->block * row_bytes));
    plan.scratch(state->scores_bytes * static_cast<size_t>(plan.threads()));
    plan.output(0, DType::f32, heads_first_[3] ? Shape{batch, heads, q[1], v[3]} : parts[3]);
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<AttentionState>();
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    if (state.keys == 0) {
      std::fill(y.as<float>(), y.as<float>() + y.elements(), 0.0f);
      return;
    }
    const int64_t count = state.batch * state.heads;
    const double work = static_cast<double>(count * state.rows * state.keys) *
                        static_cast<double>(state.depth + state.width);
    parallel_for(work < 500000.0 ? nullptr : run.pool(), count,
                 [&](int64_t index, int worker) { head(run, index, worker); });
  }

 private:
  // Where the rows of operand `i` lie; `given` is what an input was given as.
  void place(const Shape& part, int i, const Shape* given, AttentionState* state) const {
    const bool first = heads_first_[static_cast<size_t>(i)] != 0;
    const bool columns = given != nullptr && heads_ != 0;
    state->step[i] = first ? part[3] : columns ? (*given)[2] : part[2] * part[3];
    state->head_step[i] = first ? part[1] * part[3] : part[3];
    state->batch_step[i] = first ? part[2] * part[1] * part[3] : part[1] * state->step[i];
  }

  // The shape of an input with its heads apart, [batch, rows, heads, depth].
  Shape heads_of(const PlanContext& plan, int i, const char* name) const {
    plan.need_dtype(i, DType::f32, name);
    const Shape& given = plan.shape(i);
    const int64_t offset = offsets_[static_cast<size_t>(i)];
    const auto wrong = [&](const std::string& wanted) {
      fail("input " + str(i) + " (" + name + ") has shape " + given.str() + ", wanted " + wanted);
    };
    if (heads_ == 0) {
      const bool first = heads_first_[static_cast<size_t>(i)] != 0;
      if (given.rank() != 4)
        wrong(first ? "[batch, heads, rows, depth]" : "[batch, rows, heads, depth]");
      return first ? Shape{given[0], given[2], given[1], given[3]} : given;
    }
    if (given.rank() != 3 || offset < 0 || offset > given[2] - heads_ * depth_)
      wrong("[batch, rows, " + str(offset + heads_ * depth_) + " or more]");
    return Shape{given[0], given[1], heads_, depth_};
  }

  static void place_mask(PlanContext& plan, AttentionState* state) {
    plan.need_dtype(3, DType::f32, "mask");
    const Shape scores{state->batch, state->heads, state->rows, state->keys};
    const Shape& mask = plan.shape(3);
    if (mask.rank() > 4 || broadcast_shapes(mask, scores) != scores)
      fail("input 3 (mask) has shape " + mask.str() + ", which does not fit scores " +
           scores.str());
    broadcast_strides(mask, scores, state->mask_strides);
  }

  void head(const RunContext& run, int64_t index, int worker) const {
    const auto& state = run.state<AttentionState>();
    const int64_t batch = index / state.heads;
    const int64_t head = index % state.heads;
    const auto at = [&](int i, int64_t of) {
      return batch * state.batch_step[i] + of / state.shared[i] * state.head_step[i];
    };
    const auto part = [&](int i, int64_t of) {
      return run.input(i).as<float>() + offsets_[static_cast<size_t>(i)] + at(i, of);
    };
    PackedB& keys = reusable_panels(run.set(), true, state.depth, state.keys, PanelSide::left);
    PackedB& values = reusable_panels(run.set(), true, state.keys, state.width);
    fill_b_f32(&keys, part(1, head), 0, 1, state.step[1]);
    fill_b_f32(&values, part(2, head), 0, state.step[2], 1);
    const float* q = part(0, head);
    float* y = run.output(0).as<float>() + at(3, head);
    auto* scores =
        reinterpret_cast<float*>(run.scratch() + static_cast<size_t>(worker) * state.scores_bytes);
    for (int64_t first = 0; first < state.rows; first += state.block) {
      const int64_t rows = std::min(state.block, state.rows - first);
      Epilogue scaled;
      scaled.out = Out::f32;
      scaled.scale = state.scale.data();
      const bool added = add_mask(run, batch, head, first, &scaled);
      MatrixA a;
      a.data = q + first * state.step[0];
      a.lda = state.step[0];
      gemm(a, keys, rows, scaled, scores, state.ld, nullptr);
      if (!added) add_by_row(run, batch, head, first, rows, scores);
      run.set().pointwise->softmax(scores, rows, state.keys, state.ld, scores);
      if (nan_to_zero_) clear_no_numbers(state, rows, scores);
      Epilogue plain;
      plain.out = Out::f32;
      a.data = scores;
      a.lda = state.ld;
      gemm(a, values, rows, plain, y + first * state.step[3], state.step[3], nullptr);
    }
  }

  // One weight of a row is no number where its sum is none, which divides all of them.
  static void clear_no_numbers(const AttentionState& state, int64_t rows, float* scores) {
    for (int64_t r = 0; r < rows; ++r, scores += state.ld)
      if (std::isnan(scores[0])) std::fill(scores, scores + state.keys, 0.0f);
  }

  static const float* mask_of(const RunContext& run, int64_t batch, int64_t head, int64_t first) {
    const auto& strides = run.state<AttentionState>().mask_strides;
    return run.input(3).as<float>() + batch * strides[0] + head * strides[1] + first * strides[2];
  }

  // Lets the product of Q and K' add the mask, where it lies in rows; says whether all is done.
  static bool add_mask(const RunContext& run, int64_t batch, int64_t head, int64_t first,
                       Epilogue* epilogue) {
    const auto& state = run.state<AttentionState>();
    if (!run.has(3)) return true;
    if (state.mask_strides[3] == 0) return false;
    const float* mask = mask_of(run, batch, head, first);
    if (state.mask_strides[2] == 0) {
      epilogue->bias = mask;
    } else {
      epilogue->residual = mask;
      epilogue->residual_ld = state.mask_strides[2];
    }
    return true;
  }

  static void add_by_row(const RunContext& run, int64_t batch, int64_t head, int64_t first,
                         int64_t rows, float* scores) {
    const auto& state = run.state<AttentionState>();
    const float* mask = mask_of(run, batch, head, first);
    for (int64_t r = 0; r < rows; ++r, scores += state.ld, mask += state.mask_strides[2]) {
      run.set().pointwise->binary(Binary::add, scores, 1, mask, 0, state.keys, scores);
    }
  }

  float alpha_;
  int64_t heads_;  // 0: the inputs have them apart
  int64_t depth_;
  std::vector<int64_t> offsets_;
  std::vector<int64_t> heads_first_;  // of Q, K, V and the result
  bool nan_to_zero_;
};

}  // namespace

OpPtr make_attention(const NodeDef& node) { return std::make_unique<Attention>(node); }

}  // namespace pycompress
