// group_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + B with channels last, mean and
// variance being those of a group of neighbouring channels over all pixels of an example. As many
// groups as channels make it InstanceNormalization.
//
// Pixels are summed in blocks, whatever the number of threads, and blocks in double.
#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

constexpr int64_t kPixels = 64;  // of a block: few enough for a sum in float32

// sums[c] of x, then of (x - mean[c])^2, over `n` pixels.
void sum_pixels(const float* x, int64_t n, int64_t channels, float* sums) {
  std::fill(sums, sums + channels, 0.0f);
  for (int64_t p = 0; p < n; ++p, x += channels) {
    for (int64_t c = 0; c < channels; ++c) sums[c] += x[c];
  }
}

void sum_deviations(const float* x, int64_t n, int64_t channels, const float* mean, float* sums) {
  std::fill(sums, sums + channels, 0.0f);
  for (int64_t p = 0; p < n; ++p, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const float from_mean = x[c] - mean[c];
      sums[c] += from_mean * from_mean;
    }
  }
}

class GroupNorm final : public Op {
 public:
  GroupNorm(int64_t groups, float epsilon) : groups_(groups), epsilon_(epsilon) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    const Shape& in = plan.shape(0);
    if (in.rank() < 3) fail("X has shape " + in.str() + ", at least 3 dimensions are needed");
    const int64_t channels = in[in.rank() - 1];
    if (groups_ < 1 || channels % groups_ != 0)
      fail("attribute 'groups' must divide " + str(channels) + " channels, found " + str(groups_));
    for (int i = 1; i < 3; ++i) {
      plan.need_dtype(i, DType::f32, i == 1 ? "scale" : "B");
      if (plan.shape(i).elements() != channels)
        fail("input " + str(i) + " has shape " + plan.shape(i).str() + ", wanted [" +
             str(channels) + "]");
    }
    plan.output(0, DType::f32, in);
    plan.in_place(0, 0);
    const int64_t rows = 3 + blocks_of(in.product(1, in.rank() - 1));
    plan.scratch(static_cast<size_t>(rows * channels) * sizeof(float));
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const int rank = x.shape.rank();
    const int64_t example = x.shape.product(1, rank);
    if (x.elements() == 0) return;
    for (int64_t n = 0; n < x.shape[0]; ++n) {
      normalize(run, x.as<float>() + n * example, x.shape.product(1, rank - 1), x.shape[rank - 1],
                run.output(0).as<float>() + n * example);
    }
  }

 private:
  static int64_t blocks_of(int64_t pixels) { return (pixels + kPixels - 1) / kPixels; }

  void normalize(const RunContext& run, const float* x, int64_t pixels, int64_t channels,
                 float* y) const {
    auto* mean = reinterpret_cast<float*>(run.scratch());
    float* factor = mean + channels;
    float* offset = factor + channels;
    float* sums = offset + channels;
    const int64_t blocks = blocks_of(pixels);
    const auto each_block = [&](const auto& body) {
      const double cost = 0.5 * static_cast<double>(kPixels * channels);
      parallel_ranges(run.pool(), blocks, cost, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b)
          body(b, b * kPixels * channels, std::min(kPixels, pixels - b * kPixels));
      });
    };
    each_block([&](int64_t b, int64_t at, int64_t n) {
      sum_pixels(x + at, n, channels, sums + b * channels);
    });
    group_means(sums, blocks, pixels, channels, mean);
    each_block([&](int64_t b, int64_t at, int64_t n) {
      sum_deviations(x + at, n, channels, mean, sums + b * channels);
    });
    group_means(sums, blocks, pixels, channels, factor);
    const auto* scale = run.input(1).as<float>();
    const auto* bias = run.input(2).as<float>();
    for (int64_t c = 0; c < channels; ++c) {
      const double deviation =
          std::sqrt(static_cast<double>(factor[c]) + static_cast<double>(epsilon_));
      factor[c] = static_cast<float>(static_cast<double>(scale[c]) / deviation);
      offset[c] = static_cast<float>(static_cast<double>(bias[c]) -
                                     static_cast<double>(mean[c]) * static_cast<double>(factor[c]));
    }
    each_block([&](int64_t, int64_t at, int64_t n) {
      for (const float* end = x + at + n * channels; at < end - x; at += channels) {
        for (int64_t c = 0; c < channels; ++c) y[at + c] = x[at + c] * factor[c] + offset[c];
      }
    });
  }

  // The mean of a group of channels, for each of them, from the sums of the blocks.
  void group_means(const float* sums, int64_t blocks, int64_t pixels, int64_t channels,
                   float* means) const {
    const int64_t size = channels / groups_;
    for (int64_t first = 0; first < channels; first += size) {
      double total = 0.0;
      for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t c = first; c < first + size; ++c)
          total += static_cast<double>(sums[b * channels + c]);
      }
      const double mean = total / static_cast<double>(pixels * size);
      std::fill(means + first, means + first + size, static_cast<float>(mean));
    }
  }

  int64_t groups_;
  float epsilon_;
};

}  // namespace

OpPtr make_group_norm(const NodeDef& node) {
  return std::make_unique<GroupNorm>(node.integer("groups", 1), node.number("epsilon", 1e-5f));
}

}  // namespace pycompress
