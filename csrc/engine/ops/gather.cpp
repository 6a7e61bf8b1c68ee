// Gather, GatherElements, GatherND, and embedding: rows chosen by indices. An index out of range is
// an error that names it.
#include <cstring>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

int64_t index_at(const Tensor& indices, int64_t i) {
  return indices.dtype == DType::s64 ? indices.as<int64_t>()[i] : indices.as<int32_t>()[i];
}

// Negative indices count from the end.
int64_t checked_index(int64_t index, int64_t dim) {
  if (index < -dim || index >= dim) {
    fail("index " + str(index) + " is out of range for an axis of " + str(dim));
  }
  return index < 0 ? index + dim : index;
}

void need_indices(const PlanContext& plan) {
  if (plan.dtype(1) != DType::s64 && plan.dtype(1) != DType::s32) {
    fail(std::string("input 1 (indices) must be int64 or int32, found ") +
         dtype_name(plan.dtype(1)));
  }
}

// The shape of data with `axis` replaced by all of the indices' dimensions.
Shape gathered_shape(const Shape& data, int axis, const Shape& indices) {
  Shape out;
  for (int i = 0; i < axis; ++i) out.push(data[i]);
  for (int64_t dim : indices) out.push(dim);
  for (int i = axis + 1; i < data.rank(); ++i) out.push(data[i]);
  return out;
}

class Gather final : public Op {
 public:
  explicit Gather(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_indices(plan);
    const int axis = normalize_axis(axis_, plan.shape(0).rank());
    plan.output(0, plan.dtype(0), gathered_shape(plan.shape(0), axis, plan.shape(1)));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& data = run.input(0);
    const Tensor& indices = run.input(1);
    const int axis = normalize_axis(axis_, data.shape.rank());
    const int64_t dim = data.shape[axis];
    const int64_t outer = data.shape.product(0, axis);
    const int64_t bytes = data.shape.product(axis + 1, data.shape.rank()) *
                          static_cast<int64_t>(dtype_size(data.dtype));
    const int64_t count = indices.elements();
    const auto* src = data.as<uint8_t>();
    auto* dst = run.output(0).as<uint8_t>();
    // The rows of a large table come from memory.
    parallel_ranges(run.pool(), outer * count, static_cast<double>(bytes) + 16.0,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) {
                        const int64_t row =
                            i / count * dim + checked_index(index_at(indices, i % count), dim);
                        std::memcpy(dst + i * bytes, src + row * bytes, static_cast<size_t>(bytes));
                      }
                    });
  }

 private:
  int64_t axis_;
};

class GatherElements final : public Op {
 public:
  explicit GatherElements(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_indices(plan);
    const Shape& data = plan.shape(0);
    const Shape& indices = plan.shape(1);
    const int axis = normalize_axis(axis_, data.rank());
    bool fits = data.rank() == indices.rank();
    for (int i = 0; fits && i < data.rank(); ++i) fits = i == axis || indices[i] <= data[i];
    if (!fits)
      fail("indices of shape " + indices.str() + " do not fit data of shape " + data.str());
    plan.output(0, plan.dtype(0), indices);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& data = run.input(0);
    const Tensor& indices = run.input(1);
    const int axis = normalize_axis(axis_, data.shape.rank());
    int64_t from[kMaxRank];
    int64_t to[kMaxRank];
    row_major_strides(data.shape, from);
    row_major_strides(indices.shape, to);
    const int64_t step = from[axis];
    from[axis] = 0;
    const auto size = static_cast<int64_t>(dtype_size(data.dtype));
    const StridedLoop<2> loop(indices.shape, {from, to});
    if (indices.elements() == 0) return;
    loop.for_rows(0, loop.rows(), [&](const int64_t* at) {
      for (int64_t i = 0; i < loop.inner(); ++i) {
        const int64_t out = at[1] + i * loop.inner_stride(1);
        const int64_t chosen = checked_index(index_at(indices, out), data.shape[axis]);
        const int64_t in = at[0] + i * loop.inner_stride(0) + chosen * step;
        std::memcpy(run.output(0).as<uint8_t>() + out * size, data.as<uint8_t>() + in * size,
                    static_cast<size_t>(size));
      }
    });
  }

 private:
  int64_t axis_;
};

class GatherND final : public Op {
 public:
  explicit GatherND(int64_t batch) : batch_(batch) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(1, DType::s64, "indices");
    const Shape& data = plan.shape(0);
    const Shape& indices = plan.shape(1);
    if (indices.rank() < 1 || batch_ < 0 || batch_ >= indices.rank() || batch_ >= data.rank()) {
      fail("indices of shape " + indices.str() + " do not fit data of shape " + data.str() +
           " with batch_dims " + str(batch_));
    }
    const int64_t depth = indices[indices.rank() - 1];
    if (depth < 1 || depth > data.rank() - batch_)
      fail("indices of shape " + indices.str() + " index too many dimensions of " + data.str());
    Shape out;
    for (int i = 0; i < indices.rank() - 1; ++i) {
      if (i < batch_ && indices[i] != data[i])
        fail("indices of shape " + indices.str() + " do not fit the batch of " + data.str());
      out.push(indices[i]);
    }
    for (int i = static_cast<int>(batch_ + depth); i < data.rank(); ++i) out.push(data[i]);
    plan.output(0, plan.dtype(0), out);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& data = run.input(0);
    const Tensor& indices = run.input(1);
    const auto batch = static_cast<int>(batch_);
    const int last = indices.shape.rank() - 1;
    const auto depth = static_cast<int>(indices.shape[last]);
    const int64_t tuples = indices.shape.product(0, last);
    const int64_t per_batch = indices.shape.product(batch, last);
    const int64_t batch_elements = data.shape.product(batch, data.shape.rank());
    const int64_t bytes = data.shape.product(batch + depth, data.shape.rank()) *
                          static_cast<int64_t>(dtype_size(data.dtype));
    const auto size = static_cast<int64_t>(dtype_size(data.dtype));
    int64_t strides[kMaxRank];
    row_major_strides(data.shape, strides);
    for (int64_t t = 0; t < tuples; ++t) {
      int64_t at = t / per_batch * batch_elements;
      for (int i = 0; i < depth; ++i) {
        at += checked_index(indices.as<int64_t>()[t * depth + i], data.shape[batch + i]) *
              strides[batch + i];
      }
      std::memcpy(run.output(0).as<uint8_t>() + t * bytes, data.as<uint8_t>() + at * size,
                  static_cast<size_t>(bytes));
    }
  }

 private:
  int64_t batch_;
};

// Rows of a constant table, float32 or dequantized from 8 bits as they are read.
class Embedding final : public Op {
 public:
  explicit Embedding(const NodeDef& node) {
    const Tensor& table = node.need_constant(0, "table");
    if (table.shape.rank() < 1) fail("input 0 (table) is a scalar");
    const std::vector<float> scale = node.numbers("scale");
    const std::vector<int64_t> zero = node.integers("zero");
    axis_ = node.integer("axis", -1);
    if (table.dtype == DType::f32) return;
    if (!is_integer8(table.dtype))
      fail(std::string("input 0 (table) must be float32, int8 or uint8, found ") +
           dtype_name(table.dtype));
    if (axis_ < -1 || axis_ > 1 || axis_ >= table.shape.rank())
      fail("attribute 'axis' must be 0, 1 or absent, found " + str(axis_));
    const int64_t wanted = scale.size() == 1 && axis_ == -1 ? 1
                           : axis_ == -1                    ? 1
                                                            : table.shape[static_cast<int>(axis_)];
    if (static_cast<int64_t>(scale.size()) != wanted) {
      fail("attribute 'scale' has " + str(static_cast<int64_t>(scale.size())) + " values, wanted " +
           str(wanted));
    }
    if (!zero.empty() && zero.size() != 1 && zero.size() != scale.size()) {
      fail("attribute 'zero' has " + str(static_cast<int64_t>(zero.size())) + " values, wanted " +
           str(wanted));
    }
    scale_ = scale;
    for (size_t i = 0; i < scale.size(); ++i) {
      zero_.push_back(zero.empty() ? 0 : static_cast<int32_t>(zero[zero.size() == 1 ? 0 : i]));
    }
    if (axis_ != 1) return;
    // One scale per element of a row, each for what lies behind axis 1.
    const int64_t inner = table.shape.product(2, table.shape.rank());
    std::vector<float> scales;
    std::vector<int32_t> zeros;
    for (size_t i = 0; i < scale_.size(); ++i) {
      scales.insert(scales.end(), static_cast<size_t>(inner), scale_[i]);
      zeros.insert(zeros.end(), static_cast<size_t>(inner), zero_[i]);
    }
    scale_ = scales;
    zero_ = zeros;
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    need_indices(plan);
    plan.output(0, DType::f32, gathered_shape(plan.shape(0), 0, plan.shape(1)));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& table = run.input(0);
    const Tensor& indices = run.input(1);
    const int64_t rows = table.shape[0];
    const int64_t n = table.shape.product(1, table.shape.rank());
    const QuantizeKernels& quantize = *run.set().quantize;
    parallel_ranges(
        run.pool(), indices.elements(), static_cast<double>(n), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t row = checked_index(index_at(indices, i), rows);
            float* to = run.output(0).as<float>() + i * n;
            const size_t first = axis_ == 0 ? static_cast<size_t>(row) : 0;
            const int64_t step = axis_ == 1 ? 1 : 0;
            if (table.dtype == DType::f32) {
              std::memcpy(to, table.as<float>() + row * n, static_cast<size_t>(n) * sizeof(float));
            } else if (table.dtype == DType::u8) {
              quantize.from_u8(table.as<uint8_t>() + row * n, n, scale_.data() + first,
                               zero_.data() + first, step, to);
            } else {
              quantize.from_s8(table.as<int8_t>() + row * n, n, scale_.data() + first,
                               zero_.data() + first, step, to);
            }
          }
        });
  }

 private:
  int64_t axis_ = -1;
  std::vector<float> scale_;
  std::vector<int32_t> zero_;
};

}  // namespace

OpPtr make_gather(const NodeDef& node) { return std::make_unique<Gather>(node.integer("axis", 0)); }
OpPtr make_gather_elements(const NodeDef& node) {
  return std::make_unique<GatherElements>(node.integer("axis", 0));
}
OpPtr make_gather_nd(const NodeDef& node) {
  return std::make_unique<GatherND>(node.integer("batch_dims", 0));
}
OpPtr make_embedding(const NodeDef& node) { return std::make_unique<Embedding>(node); }

}  // namespace pycompress
