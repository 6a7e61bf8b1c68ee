// Unique: each value, or each slice along an axis, once.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "engine/data_op.h"
#include "engine/elementwise.h"

namespace pycompress {
namespace {

// -1, 0 or 1; NaN comes last and equals itself, as NumPy has it.
template <typename T>
int compare(T a, T b) {
  const bool a_nan = a != a;
  const bool b_nan = b != b;
  if (a_nan || b_nan) return static_cast<int>(a_nan) - static_cast<int>(b_nan);
  return static_cast<int>(a > b) - static_cast<int>(a < b);
}

// The slices of a tensor along an axis, each in one piece.
struct Slices {
  int64_t count = 0, width = 0;
  std::vector<uint8_t> bytes;  // [count][width]
};

Slices cut(const Tensor& x, const Shape& shape, int axis) {
  Slices slices;
  const size_t size = dtype_size(x.dtype);
  const int64_t outer = shape.product(0, axis);
  const int64_t inner = shape.product(axis + 1, shape.rank());
  slices.count = shape[axis];
  slices.width = outer * inner;
  slices.bytes.resize(x.bytes());
  if (x.bytes() == 0) return slices;
  const size_t row = static_cast<size_t>(inner) * size;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < slices.count; ++i) {
      std::memcpy(slices.bytes.data() + static_cast<size_t>(i * outer + o) * row,
                  x.as<uint8_t>() + static_cast<size_t>(o * slices.count + i) * row, row);
    }
  }
  return slices;
}

class Unique final : public DataOp {
 public:
  Unique(std::optional<int64_t> axis, bool sorted, int outputs)
      : axis_(axis), sorted_(sorted), outputs_(outputs) {}

  std::vector<DataResult> run(const std::vector<const Tensor*>& inputs) const override {
    const Tensor& x = *inputs[0];
    const Shape shape = axis_ ? x.shape : Shape{x.elements()};
    const int axis = axis_ ? normalize_axis(*axis_, x.shape.rank()) : 0;
    const Slices slices = cut(x, shape, axis);
    std::vector<std::vector<int64_t>> groups;  // of equal slices: their numbers, ascending
    dispatch(x.dtype, [&](auto zero) { groups = group<decltype(zero)>(slices); });
    if (!sorted_) {
      std::sort(groups.begin(), groups.end(),
                [](const auto& a, const auto& b) { return a.front() < b.front(); });
    }
    std::vector<int64_t> first;
    std::vector<int64_t> counts;
    std::vector<int64_t> inverse(static_cast<size_t>(slices.count));
    for (const auto& equal : groups) {
      for (const int64_t i : equal) {
        inverse[static_cast<size_t>(i)] = static_cast<int64_t>(first.size());
      }
      first.push_back(equal.front());
      counts.push_back(static_cast<int64_t>(equal.size()));
    }
    const Shape found{static_cast<int64_t>(first.size())};
    std::vector<DataResult> results;
    results.push_back(joined(x, shape, axis, first));
    results.push_back(DataResult::of(found, first));
    results.push_back(DataResult::of({slices.count}, inverse));
    results.push_back(DataResult::of(found, counts));
    results.resize(static_cast<size_t>(outputs_));
    return results;
  }

 private:
  template <typename T>
  static std::vector<std::vector<int64_t>> group(const Slices& slices) {
    const auto* values = reinterpret_cast<const T*>(slices.bytes.data());
    const auto order = [&](int64_t a, int64_t b) {
      for (int64_t i = 0; i < slices.width; ++i) {
        const int c = compare(values[a * slices.width + i], values[b * slices.width + i]);
        if (c != 0) return c;
      }
      return 0;
    };
    std::vector<int64_t> numbers(static_cast<size_t>(slices.count));
    std::iota(numbers.begin(), numbers.end(), int64_t{0});
    std::stable_sort(numbers.begin(), numbers.end(),
                     [&](int64_t a, int64_t b) { return order(a, b) < 0; });
    std::vector<std::vector<int64_t>> groups;
    for (const int64_t i : numbers) {
      if (groups.empty() || order(groups.back().front(), i) != 0) groups.emplace_back();
      groups.back().push_back(i);
    }
    return groups;
  }

  static DataResult joined(const Tensor& x, const Shape& shape, int axis,
                           const std::vector<int64_t>& kept) {
    DataResult y{x.dtype, shape, {}};
    y.shape[axis] = static_cast<int64_t>(kept.size());
    const size_t row =
        static_cast<size_t>(shape.product(axis + 1, shape.rank())) * dtype_size(x.dtype);
    for (int64_t outer = 0; outer < shape.product(0, axis); ++outer) {
      for (const int64_t i : kept) {
        const uint8_t* from = x.as<uint8_t>() + static_cast<size_t>(outer * shape[axis] + i) * row;
        y.bytes.insert(y.bytes.end(), from, from + row);
      }
    }
    return y;
  }

  std::optional<int64_t> axis_;
  bool sorted_;
  int outputs_;
};

}  // namespace

DataOpPtr make_unique_op(const NodeDef& node) {
  std::optional<int64_t> axis;
  if (node.has_attr("axis")) axis = node.integer("axis", 0);
  return std::make_unique<Unique>(axis, node.flag("sorted", true), node.outputs());
}

}  // namespace pycompress
