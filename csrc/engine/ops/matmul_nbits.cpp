// MatMulNBits (com.microsoft): float32 x times constant weights of 4 bits in blocks.
#include <vector>

#include "engine/fused.h"
#include "engine/ops/ops.h"
#include "int4/int4.h"

namespace pycompress {
namespace {

enum Input { kX, kData, kScale, kZero, kOrder, kBias };

class MatMulNBits final : public Op {
 public:
  explicit MatMulNBits(const NodeDef& node) {
    node.ignore({"accuracy_level", "weight_prepacked"});
    k_ = node.integer("K", 0);
    n_ = node.integer("N", 0);
    const int64_t block = node.integer("block_size", 0);
    const int64_t bits = node.integer("bits", 4);
    if (bits != 4) fail("attribute bits is " + str(bits) + ", there are kernels for 4");
    if (!is_int4_block(block))
      fail("attribute block_size is " + str(block) + ", there are kernels for 32, 64 and 128");
    if (k_ < 1 || n_ < 1) fail("attributes K and N are " + str(k_) + " and " + str(n_));
    if (node.has(kOrder)) fail("input 4 (g_idx), an order of K, has no kernel");
    const int64_t blocks = (k_ + block - 1) / block;
    const Tensor& data = need(node, kData, "B", DType::u8, n_ * blocks * block / 2);
    const Tensor& scale = need(node, kScale, "scales", DType::f32, n_ * blocks);
    const bool zeros = node.has(kZero);
    const int64_t zero_bytes = (blocks + 1) / 2;  // of one column
    const Tensor* zero =
        zeros ? &need(node, kZero, "zero_points", DType::u8, n_ * zero_bytes) : nullptr;
    packed_ = node.store().int4(node.set(), k_, n_, block, zeros, [&] {
      Int4Weights w;
      w.data = data.as<uint8_t>();
      w.scale = scale.as<float>();
      w.k = k_;
      w.n = n_;
      w.block = block;
      std::vector<uint8_t> each;
      if (zeros) {
        each.reserve(static_cast<size_t>(n_ * blocks));
        for (int64_t n = 0; n < n_; ++n) {
          for (int64_t i = 0; i < blocks; ++i) {
            const uint8_t two = zero->as<uint8_t>()[n * zero_bytes + i / 2];
            each.push_back(i % 2 == 0 ? two & 15 : two >> 4);
          }
        }
        w.zero_point = each.data();
      }
      return pack_int4(node.set(), w);
    });
    for (const int i : {kData, kScale, kZero}) {
      if (node.has(i)) node.release(i);
    }
    if (node.has(kBias)) {
      const Tensor& bias = node.need_constant(kBias, "bias");
      if (bias.dtype != DType::f32 || bias.elements() != n_)
        fail("input 5 (bias) has shape " + bias.shape.str() + " and type " +
             dtype_name(bias.dtype) + ", wanted " + str(n_) + " of float32");
      bias_.assign(bias.as<float>(), bias.as<float>() + n_);
    }
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(kX, DType::f32, "A");
    Shape y = plan.shape(kX);
    if (y.rank() < 1 || y[y.rank() - 1] != k_)
      fail("input 0 (A) has shape " + y.str() + ", wanted [..., " + str(k_) + "]");
    y[y.rank() - 1] = n_;
    plan.output(0, DType::f32, y);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    Epilogue epilogue;
    epilogue.out = Out::f32;
    epilogue.bias = bias_.empty() ? nullptr : bias_.data();
    const Tensor& y = run.output(0);
    gemm_int4(run.input(kX).as<float>(), k_, packed_, y.elements() / n_, epilogue, y.data, n_,
              run.pool());
  }

 private:
  static const Tensor& need(const NodeDef& node, int i, const char* what, DType dtype,
                            int64_t elements) {
    const Tensor& tensor = node.need_weights(i, what);
    if (tensor.dtype != dtype || tensor.elements() != elements) {
      fail("input " + str(i) + " (" + what + ") has shape " + tensor.shape.str() + " and type " +
           dtype_name(tensor.dtype) + ", wanted " + str(elements) + " of " + dtype_name(dtype));
    }
    return tensor;
  }

  int64_t k_ = 0;
  int64_t n_ = 0;
  PackedInt4 packed_;
  std::vector<float> bias_;
};

}  // namespace

OpPtr make_matmul_nbits(const NodeDef& node) { return std::make_unique<MatMulNBits>(node); }

}  // namespace pycompress
