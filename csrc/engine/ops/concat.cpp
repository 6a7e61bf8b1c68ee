// Concat and Split: blocks of contiguous bytes between one tensor and several.
#include <algorithm>
#include <cstring>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

template <int64_t kBytes>
void copy_small(int64_t count, const uint8_t* src, int64_t src_step, uint8_t* dst,
                int64_t dst_step) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(dst + i * dst_step, src + i * src_step, kBytes);
}

// Copies `count` blocks of `bytes` between steps of src_step and dst_step bytes.
void copy_blocks(int64_t count, int64_t bytes, const uint8_t* src, int64_t src_step, uint8_t* dst,
                 int64_t dst_step) {
  switch (bytes) {
    case 1:
      return copy_small<1>(count, src, src_step, dst, dst_step);
    case 2:
      return copy_small<2>(count, src, src_step, dst, dst_step);
    case 4:
      return copy_small<4>(count, src, src_step, dst, dst_step);
    case 8:
      return copy_small<8>(count, src, src_step, dst, dst_step);
    default:
      break;
  }
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(dst + i * dst_step, src + i * src_step, static_cast<size_t>(bytes));
}

// body(first, count) over pieces of `outer` rows of `bytes`: what a piece reads or writes in turns
// stays in a first-level cache, unless a row alone is larger.
template <typename Body>
void for_pieces(ThreadPool* pool, int64_t outer, int64_t bytes, const Body& body) {
  constexpr int64_t kPiece = 16 * 1024;
  if (bytes == 0) return;
  const int64_t rows = std::max<int64_t>(1, kPiece / bytes);
  parallel_ranges(pool, outer, 0.25 * static_cast<double>(bytes) + 4.0,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; i += rows) body(i, std::min(rows, end - i));
                  });
}

int64_t block_bytes(const Tensor& tensor, int axis) {
  return tensor.shape.product(axis, tensor.shape.rank()) *
         static_cast<int64_t>(dtype_size(tensor.dtype));
}

class Concat final : public Op {
 public:
  explicit Concat(int64_t axis) : axis_(axis) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    Shape out = plan.shape(0);
    const int axis = normalize_axis(axis_, out.rank());
    for (int i = 1; i < plan.inputs(); ++i) {
      const Shape& in = plan.shape(i);
      Shape expected = in;
      if (in.rank() == out.rank()) expected[axis] = out[axis];
      if (expected != out)
        fail("input " + str(i) + " has shape " + in.str() + ", which does not fit " +
             plan.shape(0).str() + " beside axis " + str(axis));
      plan.need_dtype(i, plan.dtype(0), "inputs");
      out[axis] += in[axis];
    }
    plan.output(0, plan.dtype(0), out);
    if (plan.inputs() == 1) plan.view(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& y = run.output(0);
    const int axis = normalize_axis(axis_, y.shape.rank());
    const int64_t outer = y.shape.product(0, axis);
    const int64_t step = block_bytes(y, axis);
    for_pieces(run.pool(), outer, step, [&](int64_t first, int64_t count) {
      uint8_t* dst = y.as<uint8_t>() + first * step;
      for (int i = 0; i < run.inputs(); ++i) {
        const int64_t bytes = block_bytes(run.input(i), axis);
        copy_blocks(count, bytes, run.input(i).as<uint8_t>() + first * bytes, bytes, dst, step);
        dst += bytes;
      }
    });
  }

 private:
  int64_t axis_;
};

class Split final : public Op {
 public:
  Split(int64_t axis, int64_t parts) : axis_(axis), parts_(parts) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& in = plan.shape(0);
    const int axis = normalize_axis(axis_, in.rank());
    const int64_t outputs = plan.outputs();
    std::vector<int64_t> sizes;
    if (plan.has(1)) {
      sizes = plan.integers(1, "split");
    } else {
      const int64_t parts = parts_ > 0 ? parts_ : outputs;
      const int64_t size = (in[axis] + parts - 1) / parts;
      int64_t left = in[axis];
      for (int64_t i = 0; i < parts; ++i) {
        sizes.push_back(std::min(size, left));
        left -= sizes.back();
      }
    }
    int64_t total = 0;
    for (int64_t size : sizes) {
      if (size < 0 || size > in[axis] - total)
        fail("split sizes do not fit axis " + str(axis) + " of " + in.str());
      total += size;
    }
    if (total != in[axis] || static_cast<int64_t>(sizes.size()) != outputs) {
      fail(str(static_cast<int64_t>(sizes.size())) + " split sizes with a sum of " + str(total) +
           " do not fit " + str(outputs) + " outputs and axis " + str(axis) + " of " + in.str());
    }
    for (int64_t i = 0; i < outputs; ++i) {
      Shape out = in;
      out[axis] = sizes[static_cast<size_t>(i)];
      plan.output(static_cast<int>(i), plan.dtype(0), out);
    }
    if (outputs == 1) plan.view(0, 0);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const int axis = normalize_axis(axis_, x.shape.rank());
    const int64_t outer = x.shape.product(0, axis);
    const int64_t step = block_bytes(x, axis);
    for_pieces(run.pool(), outer, step, [&](int64_t first, int64_t count) {
      const uint8_t* src = x.as<uint8_t>() + first * step;
      for (int i = 0; run.wants(i); ++i) {
        const int64_t bytes = block_bytes(run.output(i), axis);
        copy_blocks(count, bytes, src, step, run.output(i).as<uint8_t>() + first * bytes, bytes);
        src += bytes;
      }
    });
  }

 private:
  int64_t axis_;
  int64_t parts_;
};

}  // namespace

OpPtr make_concat(const NodeDef& node) { return std::make_unique<Concat>(node.integer("axis", 0)); }

OpPtr make_split(const NodeDef& node) {
  const int64_t parts = node.integer("num_outputs", 0);
  if (node.has_attr("num_outputs") && parts < 1)
    fail("attribute 'num_outputs' must be positive, found " + str(parts));
  return std::make_unique<Split>(node.integer("axis", 0), parts);
}

}  // namespace pycompress
