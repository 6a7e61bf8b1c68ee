// linear: act(x . W + b + residual) with constant W, in float32, with fixed integer scales, or
// quantized at run time.
//
// Of two layers behind each other that quantize by row, the first can hand rows over that are
// quantized already, while they are hot in cache: with `y_by_row` its outputs are u8, scale and
// zero point of each row, and the second one's inputs 0, 4 and 5 are these.
#include <algorithm>

#include "engine/arena.h"
#include "engine/fused.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// Sums that wait for their activation should still be in L2.
constexpr int64_t kBlockBytes = 192 * 1024;

struct LinearState final : OpState {
  LayerEpilogue ready;
  int64_t rows = 0;
  int64_t block = 0;  // rows per block when the activation is not a clamp
  // Offsets in scratch, after the quantized x: scale and zero point of each row, or scale and init
  // of each column.
  size_t scale_at = 0;
  size_t zero_at = 0;
  size_t sums_at = 0;
};

class Linear final : public Op {
 public:
  explicit Linear(const NodeDef& node) : layer_(node, 1) {
    const Tensor& w = node.need_weights(1, "w");
    if (w.shape.rank() != 2) fail("input 1 (w) has shape " + w.shape.str() + ", wanted [K, N]");
    k_ = w.shape[0];
    n_ = w.shape[1];
    by_row_ = node.flag("by_row", false);
    y_by_row_ = node.flag("y_by_row", false);
    layer_.x_handed = node.has(4);
    if (layer_.x_handed != node.has(5)) fail("inputs 4 and 5 come together");
    if (layer_.x_handed && !(by_row_ && layer_.mode == LayerMode::dynamic))
      fail("inputs 4 and 5 are for a layer with the attributes 'dynamic' and 'by_row'");
    if (y_by_row_ && (layer_.integer_out || !layer_.finishes() || n_ == 0))
      fail("attribute 'y_by_row' is for an activation that is no clamp, and without 'y_scale'");
    const bool is_float = layer_.mode == LayerMode::f32;
    packed_ = node.store().matrix(node.set(), is_float, 1, k_, n_, [&] {
      if (!is_float) {
        return pack_b_int8(node.set(), w.data, w.dtype == DType::s8, 1, k_, n_, 0, n_, 1,
                           layer_.w_zero_or_null());
      }
      const std::vector<float> converted =
          w.dtype == DType::f32 ? std::vector<float>() : layer_.float_weights(w, 1);
      const float* weights = w.dtype == DType::f32 ? w.as<float>() : converted.data();
      return pack_b_f32(node.set(), weights, 1, k_, n_, 0, n_, 1);
    });
    node.release(1);
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    if (x.rank() < 1 || x[x.rank() - 1] != k_) {
      fail("input 0 (x) has shape " + x.str() + ", wanted [..., " + str(k_) + "]");
    }
    Shape y = x;
    y[y.rank() - 1] = n_;
    layer_.check_inputs(plan, y);
    plan.output(0, y_by_row_ ? DType::u8 : layer_.y_dtype, y);

    auto state = std::make_unique<LinearState>();
    state->rows = x.product(0, x.rank() - 1);
    if (layer_.x_handed) {
      check_rows(plan, 4, DType::f32, state->rows, "x_scale");
      check_rows(plan, 5, DType::s32, state->rows, "x_zero");
    }
    if (plan.outputs() != (y_by_row_ ? 3 : 1))
      fail(str(plan.outputs()) + " outputs, wanted " + (y_by_row_ ? "3" : "1"));
    if (y_by_row_) {
      plan.output(1, DType::f32, Shape{state->rows});
      plan.output(2, DType::s32, Shape{state->rows});
    }
    std::vector<int32_t> init;
    if (layer_.mode == LayerMode::integer) {
      init.resize(static_cast<size_t>(n_));
      gemm_init(packed_, layer_.x_zero, plan.dtype(0) == DType::s8, layer_.int_bias_or_null(),
                init.data());
    }
    state->ready = LayerEpilogue(layer_, std::move(init),
                                 packed_.col_zero.empty() ? nullptr : packed_.col_zero.data());
    const auto columns = static_cast<size_t>(n_);
    size_t scratch = 0;
    if (layer_.mode == LayerMode::dynamic && !layer_.x_handed) {
      const size_t scales = by_row_ ? static_cast<size_t>(state->rows) : columns;
      scratch = padded_size(static_cast<size_t>(state->rows * k_));
      state->scale_at = scratch;
      state->zero_at = scratch + padded_size(scales * sizeof(float));
      scratch = state->zero_at + padded_size(scales * sizeof(int32_t));
    }
    if (layer_.finishes()) {
      const int64_t row_bytes = std::max<int64_t>(1, n_) * 4;
      state->block = std::clamp<int64_t>(kBlockBytes / row_bytes / 12 * 12, 12,
                                         std::max<int64_t>(12, state->rows));
      state->sums_at = scratch;
      // One block for each thread, or the few rows that do not give every thread a block.
      const bool each = ceil_div(state->rows, state->block) >= plan.threads();
      const int64_t sum_rows = each ? state->block * plan.threads() : state->rows;
      if (apart()) scratch += static_cast<size_t>(sum_rows * n_) * sizeof(float);
    }
    plan.scratch(scratch);
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<LinearState>();
    const Tensor& x = run.input(0);
    if (state.rows == 0 || n_ == 0) return;
    MatrixA a;
    a.data = x.data;
    a.lda = k_;
    a.is_signed = x.dtype == DType::s8;
    a.readable_tail = x.slack;
    const bool inside = layer_.has_residual && !(layer_.finishes() && layer_.integer_out);
    const void* residual = inside ? run.input(3).data : nullptr;
    if (layer_.mode != LayerMode::dynamic)
      return multiply(run, a, state.ready.epilogue(residual, n_));
    if (layer_.x_handed)
      return multiply(run, a,
                      by_row(run, residual, run.input(4).as<float>(), run.input(5).as<int32_t>()));

    uint8_t* quantized = run.scratch();
    auto* scale = reinterpret_cast<float*>(run.scratch() + state.scale_at);
    auto* zero = reinterpret_cast<int32_t*>(run.scratch() + state.zero_at);
    a.data = quantized;
    a.readable_tail = true;
    if (by_row_) {
      quantize_rows(run.set(), run.pool(), x.as<float>(), state.rows, k_, quantized, scale, zero);
      return multiply(run, a, by_row(run, residual, scale, zero));
    }
    const DynamicScale found =
        quantize_dynamic(run.set(), run.pool(), x.as<float>(), state.rows * k_, quantized);
    multiply(
        run, a,
        state.ready.dynamic_epilogue(packed_, found.scale, found.zero, scale, zero, residual, n_));
  }

 private:
  static void check_rows(const PlanContext& plan, int i, DType dtype, int64_t rows,
                         const char* what) {
    plan.need_dtype(i, dtype, what);
    if (plan.shape(i).elements() == rows) return;
    fail("input " + str(i) + " (" + what + ") has shape " + plan.shape(i).str() + ", wanted [" +
         str(rows) + "]");
  }

  // Whether the sums are in scratch until their activation.
  bool apart() const { return layer_.integer_out || y_by_row_; }

  Epilogue by_row(const RunContext& run, const void* residual, const float* scale,
                  const int32_t* zero) const {
    Epilogue epilogue = run.state<LinearState>().ready.epilogue(residual, n_);
    epilogue.scale = layer_.w_scale.data();
    epilogue.row_scale = scale;
    epilogue.row_zero = zero;
    return epilogue;
  }

  void multiply(const RunContext& run, const MatrixA& a, const Epilogue& epilogue) const {
    const auto& state = run.state<LinearState>();
    const Tensor& y = run.output(0);
    if (!layer_.finishes()) return gemm(a, packed_, state.rows, epilogue, y.data, n_, run.pool());

    const int threads = run.pool() == nullptr ? 1 : run.pool()->size();
    const int64_t blocks = (state.rows + state.block - 1) / state.block;
    if (blocks < threads) {
      float* sums =
          apart() ? reinterpret_cast<float*>(run.scratch() + state.sums_at) : y.as<float>();
      gemm(a, packed_, state.rows, epilogue, sums, n_, run.pool());
      parallel_ranges(
          run.pool(), state.rows, 5.0 * static_cast<double>(n_),
          [&](int64_t begin, int64_t end) { finish(run, sums + begin * n_, begin, end - begin); });
      return;
    }
    const int64_t element = packed_.is_float ? 4 : 1;
    // As many blocks for each thread.
    const int64_t step =
        threads == 1 ? state.block : ceil_div(state.rows, round_up(blocks, threads));
    parallel_for(run.pool(), ceil_div(state.rows, step), [&](int64_t block, int worker) {
      const int64_t first = block * step;
      const int64_t rows = std::min(step, state.rows - first);
      MatrixA part = a;
      part.data = static_cast<const uint8_t*>(a.data) + first * k_ * element;
      Epilogue end = epilogue;
      if (end.residual != nullptr)
        end.residual = static_cast<const float*>(end.residual) + first * n_;
      if (end.row_scale != nullptr) end.row_scale += first;
      if (end.row_zero != nullptr) end.row_zero += first;
      float* sums = apart() ? reinterpret_cast<float*>(run.scratch() + state.sums_at) +
                                  worker * state.block * n_
                            : y.as<float>() + first * n_;
      gemm(part, packed_, rows, end, sums, n_, nullptr);
      finish(run, sums, first, rows);
    });
  }

  void finish(const RunContext& run, float* sums, int64_t first, int64_t rows) const {
    const auto at = static_cast<size_t>(first * n_);
    const void* residual =
        layer_.has_residual && layer_.integer_out ? run.input(3).as<uint8_t>() + at : nullptr;
    uint8_t* y = run.output(0).as<uint8_t>() + at * (y_by_row_ ? 1 : dtype_size(layer_.y_dtype));
    layer_.finish_rows(run.set(), sums, rows, n_, n_, residual, n_, y, n_);
    if (y_by_row_) {
      quantize_rows(run.set(), nullptr, sums, rows, n_, y, run.output(1).as<float>() + first,
                    run.output(2).as<int32_t>() + first);
    }
  }

  Layer layer_;
  int64_t k_ = 0;
  int64_t n_ = 0;
  bool by_row_ = false;    // dynamic: each row of x has a range of its own
  bool y_by_row_ = false;  // as this one gives them to the next
  PackedB packed_;
};

}  // namespace

OpPtr make_linear(const NodeDef& node) { return std::make_unique<Linear>(node); }

}  // namespace pycompress
