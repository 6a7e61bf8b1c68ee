// NonZero and Compress: what is not zero, and what a condition keeps.
#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/data_op.h"
#include "engine/elementwise.h"

namespace pycompress {
namespace {

class NonZero final : public DataOp {
 public:
  std::vector<DataResult> run(const std::vector<const Tensor*>& inputs) const override {
    const Tensor& x = *inputs[0];
    const int rank = x.shape.rank();
    const int64_t last = rank == 0 ? 1 : x.shape[rank - 1];
    std::vector<std::vector<int64_t>> places(static_cast<size_t>(std::max(rank, 1)));
    std::vector<int64_t>& columns = places.back();
    dispatch(x.dtype, [&](auto zero) {
      const auto* row = x.as<decltype(zero)>();
      int64_t index[kMaxRank] = {};
      for (int64_t r = 0; r < x.elements() / std::max<int64_t>(last, 1); ++r, row += last) {
        for (int64_t c = 0; c < last; ++c) {
          if (row[c] != decltype(zero){}) columns.push_back(c);  // NaN is not zero
        }
        for (int axis = 0; axis < rank - 1; ++axis)
          places[static_cast<size_t>(axis)].resize(columns.size(), index[axis]);
        for (int axis = rank - 2; axis >= 0 && ++index[axis] == x.shape[axis]; --axis)
          index[axis] = 0;
      }
    });
    const auto count = static_cast<int64_t>(columns.size());
    std::vector<int64_t> y;
    for (int axis = 0; axis < rank; ++axis) {
      const std::vector<int64_t>& own = places[static_cast<size_t>(axis)];
      y.insert(y.end(), own.begin(), own.end());
    }
    std::vector<DataResult> results;
    results.push_back(DataResult::of({rank, count}, y));
    return results;
  }
};

class Compress final : public DataOp {
 public:
  explicit Compress(std::optional<int64_t> axis) : axis_(axis) {}

  std::vector<DataResult> run(const std::vector<const Tensor*>& inputs) const override {
    const Tensor& x = *inputs[0];
    const Tensor& condition = *inputs[1];
    if (condition.dtype != DType::b8 || condition.shape.rank() != 1) {
      fail(std::string("input 1 (condition) must be bool of one dimension, found ") +
           dtype_name(condition.dtype) + condition.shape.str());
    }
    const Shape shape = axis_ ? x.shape : Shape{x.elements()};
    const int axis = axis_ ? normalize_axis(*axis_, x.shape.rank()) : 0;
    if (condition.elements() > shape[axis]) {
      fail("input 1 (condition) has " + str(condition.elements()) + " values for an axis of " +
           str(shape[axis]));
    }
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < condition.elements(); ++i) {
      if (condition.as<bool>()[i]) kept.push_back(i);
    }
    Shape out = shape;
    out[axis] = static_cast<int64_t>(kept.size());
    DataResult y{x.dtype, out, {}};
    const size_t row =
        static_cast<size_t>(shape.product(axis + 1, shape.rank())) * dtype_size(x.dtype);
    y.bytes.resize(static_cast<size_t>(out.elements()) * dtype_size(x.dtype));
    uint8_t* to = y.bytes.data();
    for (int64_t outer = 0; outer < shape.product(0, axis); ++outer) {
      const uint8_t* from = x.as<uint8_t>() + static_cast<size_t>(outer * shape[axis]) * row;
      for (const int64_t i : kept) {
        if (row > 0) std::memcpy(to, from + static_cast<size_t>(i) * row, row);
        to += row;
      }
    }
    std::vector<DataResult> results;
    results.push_back(std::move(y));
    return results;
  }

 private:
  std::optional<int64_t> axis_;
};

}  // namespace

DataOpPtr make_non_zero(const NodeDef&) { return std::make_unique<NonZero>(); }

DataOpPtr make_compress(const NodeDef& node) {
  std::optional<int64_t> axis;
  if (node.has_attr("axis")) axis = node.integer("axis", 0);
  return std::make_unique<Compress>(axis);
}

}  // namespace pycompress
