// attention: softmax(alpha * Q K' + mask) V for every batch and head, in blocks of rows whose
// scores stay in cache. Q, K and V are read where they lie, [batch, rows, heads, depth], and so is
// the result written: nothing is transposed in memory. With `heads` they are columns of wider rows,
// [batch, rows, columns], from `offsets` on: what a layer gives that computes all three.
#include <algorithm>

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
  int64_t step[3] = {};                               // from row to row of Q, K and V
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
        offsets_(node.integers("offsets")) {
    if (heads_ == 0) offsets_.assign(3, 0);
    if (heads_ < 0 || (heads_ > 0 && depth_ < 1))
      fail("attributes 'heads' and 'depth' must be positive");
    if (offsets_.size() != 3) fail("attribute 'offsets' must have 3 values");
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape q = heads_of(plan, 0, "Q");
    const Shape k = heads_of(plan, 1, "K");
    const Shape v = heads_of(plan, 2, "V");
    if (k[0] != q[0] || k[2] != q[2] || k[3] != q[3] || v[0] != q[0] || v[1] != k[1] ||
        v[2] != q[2]) {
      fail("shapes " + q.str() + ", " + k.str() + " and " + v.str() + " of Q, K and V do not fit");
    }
    auto state = std::make_unique<AttentionState>();
    state->batch = q[0];
    state->rows = q[1];
    state->heads = q[2];
    state->depth = q[3];
    state->keys = k[1];
    state->width = v[3];
    for (int i = 0; i < 3; ++i) state->step[i] = columns_of(plan.shape(i));
    state->scale.assign(static_cast<size_t>(state->keys), alpha_);
    if (plan.has(3)) place_mask(plan, state.get());
    state->ld = round_up(std::max<int64_t>(1, state->keys), 16);
    const int64_t row_bytes = state->ld * 4;
    state->block =
        std::clamp<int64_t>(kScoreBytes / row_bytes / 12 * 12, 12, std::max<int64_t>(12, q[1]));
    state->scores_bytes = padded_size(static_cast<size_t>(state->block * row_bytes));
    plan.scratch(state->scores_bytes * static_cast<size_t>(plan.threads()));
    plan.output(0, DType::f32, Shape{q[0], q[1], q[2], v[3]});
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
  static int64_t columns_of(const Shape& shape) { return shape.product(2, shape.rank()); }

  // The shape of an input with its heads apart.
  Shape heads_of(const PlanContext& plan, int i, const char* name) const {
    plan.need_dtype(i, DType::f32, name);
    const Shape& given = plan.shape(i);
    const int64_t offset = offsets_[static_cast<size_t>(i)];
    const auto wrong = [&](const std::string& wanted) {
      fail("input " + str(i) + " (" + name + ") has shape " + given.str() + ", wanted " + wanted);
    };
    if (heads_ == 0) {
      if (given.rank() != 4) wrong("[batch, rows, heads, depth]");
      return given;
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
    const int64_t y_step = state.heads * state.width;
    const auto part = [&](int i, int64_t rows, int64_t columns) {
      return run.input(i).as<float>() + batch * rows * state.step[i] +
             offsets_[static_cast<size_t>(i)] + head * columns;
    };
    PackedB& keys = reusable_panels(run.set(), true, state.depth, state.keys, PanelSide::left);
    PackedB& values = reusable_panels(run.set(), true, state.keys, state.width);
    fill_b_f32(&keys, part(1, state.keys, state.depth), 0, 1, state.step[1]);
    fill_b_f32(&values, part(2, state.keys, state.width), 0, state.step[2], 1);
    const float* q = part(0, state.rows, state.depth);
    float* y = run.output(0).as<float>() + batch * state.rows * y_step + head * state.width;
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
      Epilogue plain;
      plain.out = Out::f32;
      a.data = scores;
      a.lda = state.ld;
      gemm(a, values, rows, plain, y + first * y_step, y_step, nullptr);
    }
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
};

}  // namespace

OpPtr make_attention(const NodeDef& node) { return std::make_unique<Attention>(node); }

}  // namespace pycompress
