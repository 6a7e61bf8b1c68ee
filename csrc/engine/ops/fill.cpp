// Tensors that repeat or count: Expand, Tile, ConstantOfShape, Range, Trilu.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

struct CopyState final : OpState {
  explicit CopyState(const StridedLoop<2>& loop) : loop(loop) {}
  StridedLoop<2> loop;
};

class Expand final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const Shape wanted(plan.integers(1, "shape"));
    const Shape out = broadcast_shapes(in, wanted);
    plan.output(0, plan.dtype(0), out);
    if (in.elements() == out.elements()) {
      plan.view(0, 0);
      return nullptr;
    }
    int64_t from[kMaxRank];
    int64_t to[kMaxRank];
    broadcast_strides(in, out, from);
    row_major_strides(out, to);
    return std::make_unique<CopyState>(StridedLoop<2>(out, {from, to}));
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    if (run.output(0).elements() == 0) return;
    copy_strided(run.pool(), run.state<CopyState>().loop, dtype_size(x.dtype), x.data,
                 run.output(0).data);
  }
};

class Tile final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const std::vector<int64_t> repeats = plan.integers(1, "repeats");
    if (static_cast<int>(repeats.size()) != in.rank()) {
      fail("repeats has " + str(static_cast<int64_t>(repeats.size())) +
           " values for a tensor of shape " + in.str());
    }
    Shape out = in;
    for (int i = 0; i < in.rank(); ++i) {
      const int64_t count = repeats[static_cast<size_t>(i)];
      if (count < 0) fail("repeats has a negative value: " + str(count));
      if (count != 0 && in[i] > kMaxElements / count)
        fail("the result has more than 2^40 elements");
      out[i] *= count;
    }
    plan.output(0, plan.dtype(0), out);
    if (out == in) plan.view(0, 0);
    return nullptr;
  }

  // Rows of the result are built from the last axis: each is a row of the input, repeated.
  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    const int rank = x.shape.rank();
    const int64_t bytes = x.shape[rank - 1] * static_cast<int64_t>(dtype_size(x.dtype));
    const int64_t count = y.shape[rank - 1] / x.shape[rank - 1];
    const int64_t rows = y.shape.product(0, rank - 1);
    parallel_ranges(run.pool(), rows, 0.25 * static_cast<double>(bytes * count) + 8.0,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row) {
                        int64_t rest = row;
                        int64_t from = 0;
                        int64_t stride = 1;
                        for (int i = rank - 2; i >= 0; --i) {
                          from += rest % y.shape[i] % x.shape[i] * stride;
                          rest /= y.shape[i];
                          stride *= x.shape[i];
                        }
                        auto* to = y.as<uint8_t>() + row * count * bytes;
                        for (int64_t c = 0; c < count; ++c)
                          std::memcpy(to + c * bytes, x.as<uint8_t>() + from * bytes,
                                      static_cast<size_t>(bytes));
                      }
                    });
  }
};

class ConstantOfShape final : public Op {
 public:
  explicit ConstantOfShape(const AttrArray* value) {
    if (value == nullptr) {
      bytes_.assign(sizeof(float), 0);
      return;
    }
    if (value->shape.elements() != 1)
      fail("attribute 'value' must have one element, found shape " + value->shape.str());
    dtype_ = value->dtype;
    bytes_ = value->bytes;
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.output(0, dtype_, Shape(plan.integers(0, "input")));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& y = run.output(0);
    if (y.elements() > 0) copy_elements(bytes_.data(), 0, y.elements(), dtype_size(dtype_), y.data);
  }

 private:
  DType dtype_ = DType::f32;
  std::vector<uint8_t> bytes_;
};

class Range final : public Op {
 public:
  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    constexpr const char* kNames[] = {"start", "limit", "delta"};
    for (int i = 0; i < 3; ++i) {
      plan.need_dtype(i, plan.dtype(0), kNames[i]);
      if (plan.known(i) == nullptr) {
        fail("input " + str(i) + " (" + kNames[i] +
             ") decides shapes, but its value is not known before the run");
      }
      if (plan.shape(i).elements() != 1)
        fail(std::string("input ") + str(i) + " must be a scalar, found shape " +
             plan.shape(i).str());
    }
    int64_t count = 0;
    dispatch(plan.dtype(0), [&](auto zero) {
      using T = decltype(zero);
      const double start = static_cast<double>(*plan.known(0)->as<T>());
      const double limit = static_cast<double>(*plan.known(1)->as<T>());
      const double delta = static_cast<double>(*plan.known(2)->as<T>());
      if (delta == 0.0) fail("delta is 0");
      const double steps = std::ceil((limit - start) / delta);
      if (!(steps < static_cast<double>(kMaxElements)))
        fail("the result has more than 2^40 elements");
      count = steps > 0.0 ? static_cast<int64_t>(steps) : 0;
    });
    if (plan.dtype(0) == DType::b8) fail("inputs cannot be bool");
    plan.output(0, plan.dtype(0), Shape{count});
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& y = run.output(0);
    dispatch(y.dtype, [&](auto zero) {
      using T = decltype(zero);
      const T start = *run.input(0).as<T>();
      const T delta = *run.input(2).as<T>();
      for (int64_t i = 0; i < y.elements(); ++i) {
        y.as<T>()[i] = static_cast<T>(start + static_cast<T>(i) * delta);
      }
    });
  }
};

// Keeps the upper (or lower) triangle of the last two axes.
class Trilu final : public Op {
 public:
  explicit Trilu(bool upper) : upper_(upper) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    if (in.rank() < 2) fail("input has shape " + in.str() + ", at least 2 dimensions are needed");
    if (plan.has(1)) plan.need_dtype(1, DType::s64, "k");
    if (plan.has(1) && plan.shape(1).elements() != 1)
      fail("k must be a scalar, found shape " + plan.shape(1).str());
    plan.output(0, plan.dtype(0), in);
    plan.in_place(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    if (x.elements() == 0) return;
    const int rank = x.shape.rank();
    const int64_t cols = x.shape[rank - 1];
    const int64_t rows = x.shape[rank - 2];
    const int64_t given = run.has(1) ? *run.input(1).as<int64_t>() : 0;
    const int64_t k = std::clamp(given, -rows - 1, cols + 1);
    const auto size = static_cast<int64_t>(dtype_size(x.dtype));
    for (int64_t r = 0; r < x.shape.product(0, rank - 1); ++r) {
      // Columns before the border are below the diagonal.
      const int64_t border = std::clamp<int64_t>(r % rows + k + (upper_ ? 0 : 1), 0, cols);
      const int64_t begin = upper_ ? border : 0;
      const int64_t end = upper_ ? cols : border;
      const auto* from = x.as<uint8_t>() + r * cols * size;
      auto* to = y.as<uint8_t>() + r * cols * size;
      if (to != from)
        std::memcpy(to + begin * size, from + begin * size,
                    static_cast<size_t>((end - begin) * size));
      std::memset(to, 0, static_cast<size_t>(begin * size));
      std::memset(to + end * size, 0, static_cast<size_t>((cols - end) * size));
    }
  }

 private:
  bool upper_;
};

// Ones on a diagonal.
class EyeLike final : public Op {
 public:
  explicit EyeLike(const NodeDef& node)
      : k_(node.integer("k", 0)), own_type_(!node.has_attr("dtype")) {
    if (!own_type_) dtype_ = dtype_of_onnx(node.integer("dtype", 0));
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (plan.shape(0).rank() != 2)
      fail("input has shape " + plan.shape(0).str() + ", wanted two dimensions");
    plan.output(0, own_type_ ? plan.dtype(0) : dtype_, plan.shape(0));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& y = run.output(0);
    if (y.elements() == 0) return;
    std::memset(y.data, 0, y.bytes());
    const int64_t rows = y.shape[0];
    const int64_t columns = y.shape[1];
    const int64_t k = std::clamp(k_, -rows, columns);
    dispatch(y.dtype, [&](auto zero) {
      for (int64_t r = std::max<int64_t>(0, -k); r < std::min(rows, columns - k); ++r)
        y.as<decltype(zero)>()[r * columns + r + k] = 1;
    });
  }

 private:
  int64_t k_;
  bool own_type_;
  DType dtype_ = DType::f32;
};

}  // namespace

OpPtr make_expand(const NodeDef&) { return std::make_unique<Expand>(); }
OpPtr make_tile(const NodeDef&) { return std::make_unique<Tile>(); }
OpPtr make_constant_of_shape(const NodeDef& node) {
  return std::make_unique<ConstantOfShape>(node.array("value"));
}
OpPtr make_range(const NodeDef&) { return std::make_unique<Range>(); }
OpPtr make_eye_like(const NodeDef& node) { return std::make_unique<EyeLike>(node); }
OpPtr make_trilu(const NodeDef& node) { return std::make_unique<Trilu>(node.flag("upper", true)); }

}  // namespace pycompress
