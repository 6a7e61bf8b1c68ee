// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, per tensor and per channel.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/fused.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

int32_t zero_at(const Tensor& zero, int64_t i) {
  switch (zero.dtype) {
    case DType::u8:
      return zero.as<uint8_t>()[i];
    case DType::s8:
      return zero.as<int8_t>()[i];
    case DType::u16:
      return zero.as<uint16_t>()[i];
    case DType::s16:
      return zero.as<int16_t>()[i];
    default:
      return zero.as<int32_t>()[i];
  }
}

bool is_integer16(DType dtype) { return dtype == DType::u16 || dtype == DType::s16; }

// What the kernels do (kernels.h), for 16 bits.
template <typename T>
void to_16(const float* x, int64_t n, const float* scale, const int32_t* zero, int64_t step, T* y) {
  constexpr double kLow = std::numeric_limits<T>::min();
  constexpr double kHigh = std::numeric_limits<T>::max();
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(std::nearbyint(x[i] / scale[i * step])) + zero[i * step];
    y[i] = static_cast<T>(v > kLow ? std::min(v, kHigh) : kLow);
  }
}

template <typename T>
void from_16(const T* q, int64_t n, const float* scale, const int32_t* zero, int64_t step,
             float* y) {
  for (int64_t i = 0; i < n; ++i)
    y[i] = static_cast<float>(q[i] - zero[i * step]) * scale[i * step];
}

// How a tensor divides into rows that one kernel call converts.
struct ScaleState final : OpState {
  int64_t rows = 1;
  int64_t n = 0;         // elements of a row
  int64_t channels = 1;  // row r has channel r % channels, unless the channels lie within a row
  bool within = false;   // the channel axis is the innermost: one scale per element of a row
  // Blocks along an axis: rows of `n` elements, of which `rows_of_block` in a row (and less at the
  // end of the axis, which has `rows_of_axis`) share their scales.
  int64_t rows_of_axis = 0;
  int64_t rows_of_block = 0;
};

class Scaled : public Op {
 protected:
  Scaled(int64_t axis, int64_t block) : axis_(axis), block_(block) {}

  // Checks scale (input 1) and zero point (input 2), asks for int32 zero points in scratch.
  std::unique_ptr<ScaleState> plan_scales(PlanContext& plan) const {
    plan.need_dtype(1, DType::f32, "scale");
    const Shape& in = plan.shape(0);
    auto state = std::make_unique<ScaleState>();
    state->channels = plan.shape(1).elements();
    if (plan.has(2) && plan.shape(2).elements() != state->channels) {
      fail("scale has shape " + plan.shape(1).str() + " and zero_point " + plan.shape(2).str());
    }
    if (block_ > 0) {
      plan_blocks(plan, *state);
    } else if (state->channels == 1) {
      state->n = in.elements();
    } else {
      const int axis = normalize_axis(axis_, in.rank());
      if (plan.shape(1).rank() != 1 || in[axis] != state->channels) {
        fail("scale has shape " + plan.shape(1).str() + ", wanted a scalar or [" + str(in[axis]) +
             "]");
      }
      const int64_t inner = in.product(axis + 1, in.rank());
      state->within = inner == 1;
      state->n = state->within ? state->channels : inner;
      state->rows = state->n == 0 ? 0 : in.elements() / state->n;
    }
    plan.scratch(static_cast<size_t>(state->channels) * sizeof(int32_t));
    return state;
  }

  static const int32_t* zeros(const RunContext& run) {
    const auto& state = run.state<ScaleState>();
    auto* zero = reinterpret_cast<int32_t*>(run.scratch());
    for (int64_t i = 0; i < state.channels; ++i)
      zero[i] = run.has(2) ? zero_at(run.input(2), i) : 0;
    return zero;
  }

  // body(first element, count, channel of the first, step of the scales)
  template <typename Body>
  static void for_rows(const RunContext& run, const Body& body) {
    const auto& state = run.state<ScaleState>();
    if (state.rows_of_block > 0) return for_blocks(run, body);
    if (state.rows == 1 && !state.within) {
      parallel_ranges(run.pool(), state.n, 0.5,
                      [&](int64_t begin, int64_t end) { body(begin, end - begin, 0, 0); });
      return;
    }
    parallel_ranges(run.pool(), state.rows, 0.5 * static_cast<double>(state.n) + 4.0,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t r = begin; r < end; ++r) {
                        body(r * state.n, state.n, state.within ? 0 : r % state.channels,
                             state.within ? 1 : 0);
                      }
                    });
  }

 private:
  void plan_blocks(const PlanContext& plan, ScaleState& state) const {
    const Shape& in = plan.shape(0);
    const Shape& scale = plan.shape(1);
    const int axis = normalize_axis(axis_, in.rank());
    Shape wanted = in;
    wanted[axis] = (in[axis] + block_ - 1) / block_;
    if (scale != wanted) {
      fail("scale has shape " + scale.str() + ", wanted " + wanted.str() + " for blocks of " +
           str(block_));
    }
    state.n = in.product(axis + 1, in.rank());
    state.rows = in.product(0, axis + 1);
    state.rows_of_axis = in[axis];
    state.rows_of_block = block_;
  }

  // As for_rows: a block of scalars is one call, else each row of a block has the same scales.
  template <typename Body>
  static void for_blocks(const RunContext& run, const Body& body) {
    const auto& state = run.state<ScaleState>();
    if (state.rows == 0) return;
    const int64_t axis = state.rows_of_axis;
    const int64_t blocks = (axis + state.rows_of_block - 1) / state.rows_of_block;
    const double cost = 0.5 * static_cast<double>(state.n * state.rows_of_block) + 4.0;
    parallel_ranges(run.pool(), state.rows / axis * blocks, cost, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t first = b % blocks * state.rows_of_block;
        const int64_t count = std::min(state.rows_of_block, axis - first);
        const int64_t row = b / blocks * axis + first;
        if (state.n == 1) {
          body(row, count, b, 0);
          continue;
        }
        for (int64_t r = row; r < row + count; ++r) body(r * state.n, state.n, b * state.n, 1);
      }
    });
  }

  int64_t axis_, block_;
};

class QuantizeLinear final : public Scaled {
 public:
  QuantizeLinear(int64_t axis, int64_t block, DType otherwise)
      : Scaled(axis, block), otherwise_(otherwise) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "x");
    const DType dtype = plan.has(2) ? plan.dtype(2) : otherwise_;
    if (!is_integer8(dtype) && !is_integer16(dtype)) {
      fail(std::string("input 2 (y_zero_point) must be an integer of 8 or 16 bits, found ") +
           dtype_name(dtype));
    }
    plan.output(0, dtype, plan.shape(0));
    return plan_scales(plan);
  }

  void run(const RunContext& run) const override {
    const QuantizeKernels& quantize = *run.set().quantize;
    const float* x = run.input(0).as<float>();
    const float* scale = run.input(1).as<float>();
    const int32_t* zero = zeros(run);
    const Tensor& y = run.output(0);
    for_rows(run, [&](int64_t at, int64_t n, int64_t c, int64_t step) {
      if (y.dtype == DType::u8) {
        quantize.to_u8(x + at, n, scale + c, zero + c, step, y.as<uint8_t>() + at);
      } else if (y.dtype == DType::u16) {
        to_16(x + at, n, scale + c, zero + c, step, y.as<uint16_t>() + at);
      } else if (y.dtype == DType::s16) {
        to_16(x + at, n, scale + c, zero + c, step, y.as<int16_t>() + at);
      } else {
        quantize.to_s8(x + at, n, scale + c, zero + c, step, y.as<int8_t>() + at);
      }
    });
  }

 private:
  DType otherwise_;
};

class DequantizeLinear final : public Scaled {
 public:
  DequantizeLinear(int64_t axis, int64_t block) : Scaled(axis, block) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const DType dtype = plan.dtype(0);
    if (!is_integer8(dtype) && !is_integer16(dtype) && dtype != DType::s32) {
      fail(std::string("input 0 (x) must be an integer of 8 or 16 bits or int32, found ") +
           dtype_name(dtype));
    }
    if (plan.has(2)) plan.need_dtype(2, dtype, "x_zero_point");
    plan.output(0, DType::f32, plan.shape(0));
    return plan_scales(plan);
  }

  void run(const RunContext& run) const override {
    const QuantizeKernels& quantize = *run.set().quantize;
    const Tensor& x = run.input(0);
    const float* scale = run.input(1).as<float>();
    const int32_t* zero = zeros(run);
    float* y = run.output(0).as<float>();
    for_rows(run, [&](int64_t at, int64_t n, int64_t c, int64_t step) {
      if (x.dtype == DType::u8) {
        quantize.from_u8(x.as<uint8_t>() + at, n, scale + c, zero + c, step, y + at);
      } else if (x.dtype == DType::s8) {
        quantize.from_s8(x.as<int8_t>() + at, n, scale + c, zero + c, step, y + at);
      } else if (x.dtype == DType::u16) {
        from_16(x.as<uint16_t>() + at, n, scale + c, zero + c, step, y + at);
      } else if (x.dtype == DType::s16) {
        from_16(x.as<int16_t>() + at, n, scale + c, zero + c, step, y + at);
      } else {
        quantize.from_s32(x.as<int32_t>() + at, n, scale + c, zero + c, step, y + at);
      }
    });
  }
};

class DynamicQuantizeLinear final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "x");
    if (plan.outputs() != 3) fail("gives 3 outputs, asked for " + str(plan.outputs()));
    plan.output(0, DType::u8, plan.shape(0));
    plan.output(1, DType::f32, Shape{});
    plan.output(2, DType::u8, Shape{});
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const DynamicScale found = quantize_dynamic(run.set(), run.pool(), x.as<float>(), x.elements(),
                                                run.output(0).as<uint8_t>());
    *run.output(1).as<float>() = found.scale;
    *run.output(2).as<uint8_t>() = static_cast<uint8_t>(found.zero);
  }
};

int64_t block_size(const NodeDef& node) {
  const int64_t size = node.integer("block_size", 0);
  if (size < 0) fail("attribute 'block_size' must not be negative, found " + str(size));
  return size;
}

}  // namespace

OpPtr make_quantize_linear(const NodeDef& node) {
  node.ignore({"saturate", "precision"});  // only for 8-bit and 4-bit floats
  const int64_t code = node.integer("output_dtype", 0);
  if (code != 0 && (code < 2 || code > 5)) {
    fail("attribute 'output_dtype' must be uint8 (2), int8 (3), uint16 (4) or int16 (5), found " +
         str(code));
  }
  constexpr DType kTypes[] = {DType::u8, DType::s8, DType::u16, DType::s16};
  const DType dtype = code == 0 ? DType::u8 : kTypes[code - 2];
  return std::make_unique<QuantizeLinear>(node.integer("axis", 1), block_size(node), dtype);
}

OpPtr make_dequantize_linear(const NodeDef& node) {
  const int64_t code = node.integer("output_dtype", 0);
  if (code != 0 && code != 1)
    fail("attribute 'output_dtype' must be float32 (1), found " + str(code));
  return std::make_unique<DequantizeLinear>(node.integer("axis", 1), block_size(node));
}

OpPtr make_dynamic_quantize_linear(const NodeDef&) {
  return std::make_unique<DynamicQuantizeLinear>();
}

}  // namespace pycompress
