// Products of two activations: MatMul in float32, batched and broadcast, and MatMulInteger. B is
// packed at run time.
#include <algorithm>

#include "engine/arena.h"
#include "engine/fused.h"
#include "engine/integer_product.h"
#include "engine/ops/ops.h"
#include "engine/panels.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

// A product of matrices for every index of the batch.
struct MatMulState final : OpState {
  int64_t m = 0, k = 0, n = 0;
  Shape batch;
  int64_t a_strides[kMaxRank] = {};  // in matrices
  int64_t b_strides[kMaxRank] = {};
  bool shared_b = false;  // one B for the whole batch and A's matrices in a row: one tall product
  std::vector<float> scale;  // alpha, when it is not 1
  size_t packed_bytes = 0;

  void locate(int64_t index, int64_t* a, int64_t* b) const {
    *a = 0;
    *b = 0;
    for (int i = batch.rank() - 1; i >= 0; --i) {
      *a += index % batch[i] * a_strides[i];
      *b += index % batch[i] * b_strides[i];
      index /= batch[i];
    }
  }
};

Shape leading(const Shape& shape) {
  return shape.rank() <= 2 ? Shape{} : Shape(shape.begin(), shape.rank() - 2);
}

// Shapes as ONNX MatMul (NumPy) has them: a vector on the left is a row, on the right a column.
std::unique_ptr<MatMulState> plan_product(const Shape& a_given, const Shape& b_given, bool trans_a,
                                          bool trans_b, Shape* out) {
  if (a_given.rank() < 1 || b_given.rank() < 1)
    fail("shapes " + a_given.str() + " and " + b_given.str() + ": a scalar cannot be multiplied");
  const bool a_vector = a_given.rank() == 1;
  const bool b_vector = b_given.rank() == 1;
  const Shape a = a_vector ? Shape{1, a_given[0]} : a_given;
  const Shape b = b_vector ? Shape{b_given[0], 1} : b_given;
  auto state = std::make_unique<MatMulState>();
  state->m = a[a.rank() - (trans_a && !a_vector ? 1 : 2)];
  state->k = a[a.rank() - (trans_a && !a_vector ? 2 : 1)];
  state->n = b[b.rank() - (trans_b && !b_vector ? 2 : 1)];
  const int64_t b_depth = b[b.rank() - (trans_b && !b_vector ? 1 : 2)];
  if (b_depth != state->k)
    fail("shapes " + a_given.str() + " and " + b_given.str() + " do not fit: depths " +
         str(state->k) + " and " + str(b_depth));
  const Shape a_batch = leading(a);
  const Shape b_batch = leading(b);
  state->batch = broadcast_shapes(a_batch, b_batch);
  broadcast_strides(a_batch, state->batch, state->a_strides);
  broadcast_strides(b_batch, state->batch, state->b_strides);
  state->shared_b = b_batch.elements() == 1 && a_batch == state->batch && !(trans_a && !a_vector);
  *out = state->batch;
  if (!a_vector) out->push(state->m);
  if (!b_vector) out->push(state->n);
  return state;
}

class MatMul final : public Op {
 public:
  MatMul(float alpha, bool trans_a, bool trans_b)
      : alpha_(alpha), trans_a_(trans_a), trans_b_(trans_b) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "A");
    plan.need_dtype(1, DType::f32, "B");
    Shape out;
    auto state = plan_product(plan.shape(0), plan.shape(1), trans_a_, trans_b_, &out);
    plan.output(0, DType::f32, out);
    if (alpha_ != 1.0f) state->scale.assign(static_cast<size_t>(state->n), alpha_);
    // A transposed is copied, for each thread that works on a matrix of its own.
    if (transposes(plan.shape(0)))
      plan.scratch(static_cast<size_t>(plan.threads()) * padded_size(matrix_bytes(*state)));
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<MatMulState>();
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    if (state.k == 0) {
      std::fill(y.as<float>(), y.as<float>() + y.elements(), 0.0f);
      return;
    }
    const int64_t count = state.batch.elements();
    if (state.shared_b) return product(run, 0, 0, count * state.m, y.as<float>(), run.pool(), 0);
    const double work =
        static_cast<double>(state.m) * static_cast<double>(state.k) * static_cast<double>(state.n);
    for_matrices(count, work, run.pool(), [&](int64_t index, ThreadPool* pool, int worker) {
      int64_t a = 0;
      int64_t b = 0;
      state.locate(index, &a, &b);
      product(run, a, b, state.m, y.as<float>() + index * state.m * state.n, pool, worker);
    });
  }

 private:
  bool transposes(const Shape& a) const { return trans_a_ && a.rank() > 1; }
  static size_t matrix_bytes(const MatMulState& state) {
    return static_cast<size_t>(state.m * state.k) * sizeof(float);
  }

  void product(const RunContext& run, int64_t a_index, int64_t b_index, int64_t m, float* y,
               ThreadPool* pool, int worker) const {
    const auto& state = run.state<MatMulState>();
    const float* b = run.input(1).as<float>() + b_index * state.k * state.n;
    const bool turned = trans_b_ && run.input(1).shape.rank() > 1;
    PackedB& packed = reusable_panels(run.set(), true, state.k, state.n);
    fill_b_f32(&packed, b, 0, turned ? 1 : state.n, turned ? state.k : 1);
    MatrixA a;
    a.data = run.input(0).as<float>() + a_index * state.m * state.k;
    a.lda = state.k;
    if (transposes(run.input(0).shape)) {
      auto* copy = reinterpret_cast<float*>(run.scratch() + static_cast<size_t>(worker) *
                                                                padded_size(matrix_bytes(state)));
      const int64_t from[] = {1, state.m};
      const int64_t to[] = {state.k, 1};
      copy_strided(nullptr, StridedLoop<2>(Shape{state.m, state.k}, {from, to}), sizeof(float),
                   a.data, copy);
      a.data = copy;
    }
    Epilogue epilogue;
    epilogue.out = Out::f32;
    if (!state.scale.empty()) epilogue.scale = state.scale.data();
    gemm(a, packed, m, epilogue, y, state.n, pool);
  }

  float alpha_;
  bool trans_a_;
  bool trans_b_;
};

// int32 sums of 8-bit matrices. Zero points: a scalar, or one per row of A and one per column of B.
class MatMulInteger final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    for (int i = 0; i < 2; ++i) {
      if (!is_integer8(plan.dtype(i)))
        fail("input " + str(i) + " must be uint8 or int8, found " + dtype_name(plan.dtype(i)));
    }
    Shape out;
    auto state = plan_product(plan.shape(0), plan.shape(1), false, false, &out);
    plan.output(0, DType::s32, out);
    check_zero(plan, 2, state->m, "a_zero_point");
    check_zero(plan, 3, state->n, "b_zero_point");
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<MatMulState>();
    const Tensor& a = run.input(0);
    const Tensor& b = run.input(1);
    const std::vector<int32_t> a_zero = zeros(run, 2);
    std::vector<int32_t> b_zero = zeros(run, 3);
    if (b_zero.size() == 1) b_zero.assign(static_cast<size_t>(state.n), b_zero[0]);
    IntegerProduct p;
    p.batch = state.batch;
    p.m = state.m;
    p.k = state.k;
    p.n = state.n;
    p.a = side(a, state.k, state.m, state.a_strides, a_zero);
    p.one_a_zero = a_zero.size() == 1;
    p.readable_tail = a.slack;
    p.b = side(b, state.n, state.k, state.b_strides, b_zero);
    p.c = run.output(0).as<int32_t>();
    p.c_step = state.n;
    multiply(run.set(), p, run.pool());
  }

 private:
  // Contiguous matrices of rows by columns; their strides are in matrices.
  static IntegerSide side(const Tensor& x, int64_t columns, int64_t rows, const int64_t* strides,
                          const std::vector<int32_t>& zero) {
    IntegerSide side;
    side.data = x.as<uint8_t>();
    side.is_signed = x.dtype == DType::s8;
    side.row_step = columns;
    for (int i = 0; i < kMaxRank; ++i) side.batch_step[i] = strides[i] * rows * columns;
    side.zero = zero.empty() ? nullptr : zero.data();
    return side;
  }

  static void check_zero(const PlanContext& plan, int i, int64_t wanted, const char* what) {
    if (!plan.has(i)) return;
    plan.need_dtype(i, plan.dtype(i - 2), what);
    const int64_t count = plan.shape(i).elements();
    if (count != 1 && count != wanted) {
      fail("input " + str(i) + " (" + what + ") has shape " + plan.shape(i).str() +
           ", wanted a scalar or [" + str(wanted) + "]");
    }
  }

  static std::vector<int32_t> zeros(const RunContext& run, int i) {
    std::vector<int32_t> out;
    if (!run.has(i)) return out;
    const Tensor& zero = run.input(i);
    for (int64_t j = 0; j < zero.elements(); ++j) {
      out.push_back(zero.dtype == DType::u8 ? zero.as<uint8_t>()[j] : zero.as<int8_t>()[j]);
    }
    return out;
  }
};

}  // namespace

OpPtr make_matmul(const NodeDef& node) {
  return std::make_unique<MatMul>(node.number("alpha", 1.0f), node.flag("trans_a", false),
                                  node.flag("trans_b", false));
}
OpPtr make_matmul_integer(const NodeDef&) { return std::make_unique<MatMulInteger>(); }

}  // namespace pycompress
