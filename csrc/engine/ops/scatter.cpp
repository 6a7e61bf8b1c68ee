// ScatterND, ScatterElements, TensorScatter and OneHot: values written where indices say.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Combine { replace, add, mul, min, max };

// Integers wrap around.
template <typename T>
T combined(Combine combine, T a, T b) {
  using U = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
  const U p = static_cast<U>(a);
  const U q = static_cast<U>(b);
  switch (combine) {
    case Combine::add:
      return static_cast<T>(static_cast<U>(p + q));
    case Combine::mul:
      return static_cast<T>(static_cast<U>(p * q));
    case Combine::min:
      return std::min(a, b);
    case Combine::max:
      return std::max(a, b);
    default:
      return b;
  }
}

int64_t checked_index(int64_t index, int64_t dim) {
  if (index < -dim || index >= dim)
    fail("index " + str(index) + " is out of range for an axis of " + str(dim));
  return index < 0 ? index + dim : index;
}

// The result of a scatter starts as a copy of input 0.
void copy_data(const RunContext& run) {
  const Tensor& data = run.input(0);
  const Tensor& y = run.output(0);
  if (y.data != data.data && y.elements() > 0) std::memcpy(y.data, data.data, y.bytes());
}

class ScatterND final : public Op {
 public:
  explicit ScatterND(Combine combine) : combine_(combine) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(1, DType::s64, "indices");
    plan.need_dtype(2, plan.dtype(0), "updates");
    if (combine_ != Combine::replace && plan.dtype(0) == DType::b8) fail("a reduction of bool");
    const Shape& data = plan.shape(0);
    const Shape& indices = plan.shape(1);
    const int last = indices.rank() - 1;
    if (last < 0 || indices[last] < 1 || indices[last] > data.rank()) {
      fail("indices of shape " + indices.str() + " do not fit data of shape " + data.str());
    }
    Shape wanted(indices.begin(), last);
    for (int i = static_cast<int>(indices[last]); i < data.rank(); ++i) wanted.push(data[i]);
    if (plan.shape(2) != wanted)
      fail("updates have shape " + plan.shape(2).str() + ", wanted " + wanted.str());
    plan.output(0, plan.dtype(0), data);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& data = run.input(0);
    const Tensor& indices = run.input(1);
    const Tensor& y = run.output(0);
    if (y.elements() == 0 && indices.elements() == 0) return;
    copy_data(run);
    const int last = indices.shape.rank() - 1;
    const auto depth = static_cast<int>(indices.shape[last]);
    const int64_t block = data.shape.product(depth, data.shape.rank());
    int64_t strides[kMaxRank];
    row_major_strides(data.shape, strides);
    for (int64_t t = 0; t < indices.shape.product(0, last); ++t) {
      int64_t at = 0;
      for (int i = 0; i < depth; ++i) {
        at += checked_index(indices.as<int64_t>()[t * depth + i], data.shape[i]) * strides[i];
      }
      dispatch(y.dtype, [&](auto zero) {
        using T = decltype(zero);
        merge(run.input(2).as<T>() + t * block, block, y.as<T>() + at);
      });
    }
  }

 private:
  template <typename T>
  void merge(const T* from, int64_t n, T* to) const {
    if (combine_ == Combine::replace) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
      return;
    }
    if constexpr (!std::is_same_v<T, bool>) {
      for (int64_t i = 0; i < n; ++i) to[i] = combined(combine_, to[i], from[i]);
    }
  }

  Combine combine_;
};

class ScatterElements final : public Op {
 public:
  ScatterElements(int64_t axis, Combine combine) : axis_(axis), combine_(combine) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& data = plan.shape(0);
    const Shape& indices = plan.shape(1);
    const int axis = normalize_axis(axis_, data.rank());
    if (plan.dtype(1) != DType::s64 && plan.dtype(1) != DType::s32)
      fail(std::string("indices must be int64 or int32, found ") + dtype_name(plan.dtype(1)));
    plan.need_dtype(2, plan.dtype(0), "updates");
    if (combine_ != Combine::replace && plan.dtype(0) == DType::b8) fail("a reduction of bool");
    bool fits = indices.rank() == data.rank() && plan.shape(2) == indices;
    for (int i = 0; fits && i < data.rank(); ++i) fits = i == axis || indices[i] <= data[i];
    if (!fits)
      fail("indices of shape " + indices.str() + " and updates of shape " + plan.shape(2).str() +
           " do not fit data of shape " + data.str());
    plan.output(0, plan.dtype(0), data);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    copy_data(run);
    const Tensor& y = run.output(0);
    const Tensor& indices = run.input(1);
    if (indices.elements() == 0) return;
    const int axis = normalize_axis(axis_, y.shape.rank());
    int64_t strides[kMaxRank];
    int64_t mine[kMaxRank];
    row_major_strides(y.shape, strides);
    row_major_strides(indices.shape, mine);
    const int64_t step = strides[axis];
    strides[axis] = 0;
    const StridedLoop<2> loop(indices.shape, {mine, strides});
    dispatch(y.dtype, [&](auto zero) {
      using T = decltype(zero);
      if (indices.dtype == DType::s64)
        scatter(run, loop, indices.as<int64_t>(), y.shape[axis], step, y.as<T>());
      else
        scatter(run, loop, indices.as<int32_t>(), y.shape[axis], step, y.as<T>());
    });
  }

 private:
  template <typename T, typename Index>
  void scatter(const RunContext& run, const StridedLoop<2>& loop, const Index* indices,
               int64_t length, int64_t step, T* y) const {
    const T* updates = run.input(2).as<T>();
    loop.for_rows(0, loop.rows(), [&](const int64_t* offsets) {
      for (int64_t i = 0; i < loop.inner(); ++i) {
        const int64_t from = offsets[0] + i * loop.inner_stride(0);
        const int64_t index = checked_index(static_cast<int64_t>(indices[from]), length);
        T& to = y[offsets[1] + i * loop.inner_stride(1) + index * step];
        if constexpr (std::is_same_v<T, bool>)
          to = updates[from];
        else
          to = combined(combine_, to, updates[from]);
      }
    });
  }

  int64_t axis_;
  Combine combine_;
};

// A cache of keys or values: new rows are written behind what each sequence of the batch has.
class TensorScatter final : public Op {
 public:
  TensorScatter(int64_t axis, bool circular) : axis_(axis), circular_(circular) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& cache = plan.shape(0);
    const Shape& update = plan.shape(1);
    plan.need_dtype(1, plan.dtype(0), "update");
    const int axis = normalize_axis(axis_, cache.rank());
    if (axis == 0) fail("attribute 'axis' names the batch");
    bool fits = update.rank() == cache.rank();
    for (int i = 0; fits && i < cache.rank(); ++i)
      fits = i == axis ? update[i] <= cache[i] : update[i] == cache[i];
    if (!fits) fail("update of shape " + update.str() + " does not fit a cache of " + cache.str());
    if (plan.has(2)) {
      plan.need_dtype(2, DType::s64, "write_indices");
      if (plan.shape(2) != Shape{cache[0]})
        fail("write_indices has shape " + plan.shape(2).str() + ", wanted [" + str(cache[0]) + "]");
    }
    plan.output(0, plan.dtype(0), cache);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    copy_data(run);
    const Tensor& y = run.output(0);
    const Tensor& update = run.input(1);
    const int axis = normalize_axis(axis_, y.shape.rank());
    const int64_t steps = update.shape[axis];
    const int64_t most = y.shape[axis];
    const int64_t prefixes = y.shape.product(0, axis);
    const size_t row =
        static_cast<size_t>(y.shape.product(axis + 1, y.shape.rank())) * dtype_size(y.dtype);
    if (row == 0 || steps == 0) return;
    for (int64_t p = 0; p < prefixes; ++p) {
      const int64_t b = p / (prefixes / y.shape[0]);
      const int64_t first = run.has(2) ? run.input(2).as<int64_t>()[b] : 0;
      if (first < 0 || (circular_ ? first >= most : first + steps > most))
        fail("write_indices has " + str(first) + " for " + str(steps) + " rows in a cache of " +
             str(most));
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t to = p * most + (first + t) % most;
        std::memcpy(y.as<uint8_t>() + static_cast<size_t>(to) * row,
                    update.as<uint8_t>() + static_cast<size_t>(p * steps + t) * row, row);
      }
    }
  }

 private:
  int64_t axis_;
  bool circular_;
};

// Inputs indices, depth, values [off, on].
class OneHot final : public Op {
 public:
  explicit OneHot(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    if (plan.dtype(0) == DType::b8) fail("indices cannot be bool");
    const int64_t depth = depth_of(plan);
    if (plan.shape(2).elements() != 2)
      fail("values must be two, found shape " + plan.shape(2).str());
    const int axis = normalize_axis(axis_, in.rank() + 1);
    Shape out;
    for (int i = 0; i <= in.rank(); ++i) out.push(i == axis ? depth : in[i < axis ? i : i - 1]);
    plan.output(0, plan.dtype(2), out);
    return nullptr;
  }

  // An index out of range leaves its row off (ONNX OneHot-11).
  void run(const RunContext& run) const override {
    const Tensor& indices = run.input(0);
    const Tensor& values = run.input(2);
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    const size_t size = dtype_size(y.dtype);
    copy_elements(values.data, 0, y.elements(), size, y.data);
    const int axis = normalize_axis(axis_, y.shape.rank());
    const int64_t depth = y.shape[axis];
    const int64_t inner = y.shape.product(axis + 1, y.shape.rank());
    dispatch(indices.dtype, [&](auto zero) {
      for (int64_t i = 0; i < indices.elements(); ++i) {
        // Fractions are cut off; what is no number is out of range.
        const auto given = indices.as<decltype(zero)>()[i];
        if constexpr (std::is_floating_point_v<decltype(zero)>) {
          if (!(given > static_cast<decltype(zero)>(-depth - 1) &&
                given < static_cast<decltype(zero)>(depth)))
            continue;
        }
        auto index = static_cast<int64_t>(given);
        if (index < -depth || index >= depth) continue;
        index = index < 0 ? index + depth : index;
        const int64_t at = (i / inner * depth + index) * inner + i % inner;
        std::memcpy(y.as<uint8_t>() + at * static_cast<int64_t>(size), values.as<uint8_t>() + size,
                    size);
      }
    });
  }

 private:
  // One number of any type.
  static int64_t depth_of(const PlanContext& plan) {
    const Tensor* given = plan.known(1);
    if (given == nullptr) return plan.integers(1, "depth")[0];  // says what is wrong
    if (given->elements() != 1) fail("depth must be one value, found shape " + given->shape.str());
    double depth = -1.0;
    dispatch(given->dtype,
             [&](auto zero) { depth = static_cast<double>(*given->as<decltype(zero)>()); });
    if (!(depth >= 0.0)) fail("depth must not be negative, found " + std::to_string(depth));
    // One that is too large is the shape's to refuse.
    return static_cast<int64_t>(std::min(depth, 2.0 * static_cast<double>(kMaxElements)));
  }

  int64_t axis_;
};

Combine reduction_of(const NodeDef& node) {
  const std::string reduction = node.text("reduction", "none");
  constexpr const char* kNames[] = {"none", "add", "mul", "min", "max"};
  for (int i = 0; i < 5; ++i) {
    if (reduction == kNames[i]) return static_cast<Combine>(i);
  }
  fail("attribute 'reduction' must be none, add, mul, min or max, found '" + reduction + "'");
}

}  // namespace

OpPtr make_scatter_nd(const NodeDef& node) {
  return std::make_unique<ScatterND>(reduction_of(node));
}

OpPtr make_scatter_elements(const NodeDef& node) {
  return std::make_unique<ScatterElements>(node.integer("axis", 0), reduction_of(node));
}

OpPtr make_tensor_scatter(const NodeDef& node) {
  const std::string mode = node.text("mode", "linear");
  if (mode != "linear" && mode != "circular")
    fail("attribute 'mode' must be linear or circular, found '" + mode + "'");
  return std::make_unique<TensorScatter>(node.integer("axis", -2), mode == "circular");
}

OpPtr make_one_hot(const NodeDef& node) {
  return std::make_unique<OneHot>(node.integer("axis", -1));
}

}  // namespace pycompress
