// RoiAlign: each region of an image as a grid of bins, each bin a mean or maximum of samples.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

constexpr int64_t kMostSamples = 4096;  // along one axis of a bin
constexpr int kTogether = 4;            // channels

// Where a sample lies between two pixels of an axis.
struct Between {
  int64_t low = 0, high = 0;
  float to_low = 0.0f, to_high = 0.0f;
  bool outside = false;
};

Between between(float at, int64_t length) {
  const auto size = static_cast<float>(length);
  Between b;
  b.outside = !(at >= -1.0f && at <= size);
  if (b.outside) return b;
  at = std::max(at, 0.0f);
  b.low = static_cast<int64_t>(at);
  if (b.low >= length - 1) {
    b.low = b.high = length - 1;
    at = static_cast<float>(b.low);
  } else {
    b.high = b.low + 1;
  }
  b.to_high = at - static_cast<float>(b.low);
  b.to_low = 1.0f - b.to_high;
  return b;
}

class RoiAlign final : public Op {
 public:
  explicit RoiAlign(const NodeDef& node)
      : height_(node.integer("output_height", 1)),
        width_(node.integer("output_width", 1)),
        samples_(node.integer("sampling_ratio", 0)),
        scale_(node.number("spatial_scale", 1.0f)) {
    const std::string mode = node.text("mode", "avg");
    if (mode != "avg" && mode != "max")
      fail("attribute 'mode' must be avg or max, found '" + mode + "'");
    maximum_ = mode == "max";
    const std::string where = node.text("coordinate_transformation_mode", "half_pixel");
    if (where != "half_pixel" && where != "output_half_pixel")
      fail(
          "attribute 'coordinate_transformation_mode' must be half_pixel or output_half_pixel, "
          "found '" +
          where + "'");
    half_pixel_ = where == "half_pixel";
    if (height_ < 1 || width_ < 1 || samples_ < 0)
      fail("output_height, output_width and sampling_ratio are " + str(height_) + ", " +
           str(width_) + " and " + str(samples_));
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    plan.need_dtype(0, DType::f32, "X");
    plan.need_dtype(1, DType::f32, "rois");
    plan.need_dtype(2, DType::s64, "batch_indices");
    const Shape& x = plan.shape(0);
    const Shape& rois = plan.shape(1);
    if (x.rank() != 4 || rois.rank() != 2 || rois[1] != 4 || plan.shape(2) != Shape{rois[0]})
      fail("X, rois and batch_indices have shapes " + x.str() + ", " + rois.str() + " and " +
           plan.shape(2).str() + ", wanted [n, c, h, w], [r, 4] and [r]");
    if (x[2] == 0 || x[3] == 0) fail("X of shape " + x.str() + " has no pixels");
    plan.output(0, DType::f32, Shape{rois[0], x[1], height_, width_});
    return nullptr;
  }

  void run(const RunContext& run) const override {
    const Tensor& x = run.input(0);
    const int64_t rois = run.input(1).shape[0];
    for (int64_t r = 0; r < rois; ++r) {
      const int64_t image = run.input(2).as<int64_t>()[r];
      if (image < 0 || image >= x.shape[0])
        fail("batch_indices has " + str(image) + ", X has " + str(x.shape[0]) + " images");
    }
    const double cost = 40.0 * static_cast<double>(x.shape[1] * height_ * width_);
    parallel_ranges(run.pool(), rois, cost, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) align(run, r);
    });
  }

 private:
  // The bins of an axis: where the first begins, how long one is, how many samples it has.
  struct Bins {
    float start, length;
    int64_t samples;
    float at(int64_t bin, int64_t sample) const {
      return start + static_cast<float>(bin) * length +
             (static_cast<float>(sample) + 0.5f) * length / static_cast<float>(samples);
    }
  };

  Bins bins(float from, float to, int64_t count) const {
    const float shift = half_pixel_ ? 0.5f : 0.0f;
    const float start = from * scale_ - shift;
    float length = to * scale_ - shift - start;
    if (!half_pixel_) length = std::max(length, 1.0f);
    const float bin = length / static_cast<float>(count);
    const float wanted = samples_ > 0 ? static_cast<float>(samples_) : std::ceil(bin);
    if (!(wanted <= static_cast<float>(kMostSamples)))
      fail("a region from " + std::to_string(from) + " to " + std::to_string(to) +
           " has more than " + str(kMostSamples) + " samples in a bin");
    return {start, bin, std::max<int64_t>(static_cast<int64_t>(wanted), 0)};
  }

  void align(const RunContext& run, int64_t r) const {
    const Tensor& x = run.input(0);
    const float* roi = run.input(1).as<float>() + r * 4;
    const int64_t channels = x.shape[1];
    const int64_t rows = x.shape[2];
    const int64_t columns = x.shape[3];
    const float* image = x.as<float>() + run.input(2).as<int64_t>()[r] * channels * rows * columns;
    float* y = run.output(0).as<float>() + r * channels * height_ * width_;
    const Bins down = bins(roi[1], roi[3], height_);
    const Bins across = bins(roi[0], roi[2], width_);
    const std::vector<Between> v = all_between(down, height_, rows);
    const std::vector<Between> h = all_between(across, width_, columns);
    const Samples samples{v.data(), h.data(), down.samples, across.samples};
    const int64_t plane = rows * columns;
    int64_t c = 0;
    for (; c + kTogether <= channels; c += kTogether)
      align_planes<kTogether>(samples, image + c * plane, plane, columns, y + c * height_ * width_);
    for (; c < channels; ++c)
      align_planes<1>(samples, image + c * plane, plane, columns, y + c * height_ * width_);
  }

  // Of all bins of a region.
  struct Samples {
    const Between* down;
    const Between* across;
    int64_t rows, columns;  // of a bin
  };

  // kPlanes channels, which share weights and places.
  template <int kPlanes>
  void align_planes(const Samples& samples, const float* image, int64_t plane, int64_t columns,
                    float* y) const {
    const int64_t bins = height_ * width_;
    const int64_t count = samples.rows * samples.columns;
    for (int64_t bin = 0; bin < bins; ++bin) {
      const Between* const vs = samples.down + bin / width_ * samples.rows;
      const Between* const hs = samples.across + bin % width_ * samples.columns;
      float sum[kPlanes] = {};
      float most[kPlanes];
      std::fill(most, most + kPlanes, -std::numeric_limits<float>::infinity());
      for (int64_t i = 0; i < samples.rows; ++i) {
        const Between v = vs[i];
        for (int64_t k = 0; k < samples.columns; ++k) {
          const Between h = hs[k];
          if (v.outside || h.outside) {
            for (float& m : most) m = std::max(m, 0.0f);
            continue;
          }
          const float* const low = image + v.low * columns;
          const float* const high = image + v.high * columns;
          const float weight[] = {v.to_low * h.to_low, v.to_low * h.to_high, v.to_high * h.to_low,
                                  v.to_high * h.to_high};
          for (int c = 0; c < kPlanes; ++c) {
            const float parts[] = {
                weight[0] * low[c * plane + h.low], weight[1] * low[c * plane + h.high],
                weight[2] * high[c * plane + h.low], weight[3] * high[c * plane + h.high]};
            // A maximum is one of the weighted pixels, not of what lies between them (as in
            // onnxruntime and the standard's own implementation).
            if (maximum_) {
              most[c] = std::max(most[c], *std::max_element(parts, parts + 4));
            } else {
              sum[c] += parts[0] + parts[1] + parts[2] + parts[3];
            }
          }
        }
      }
      for (int c = 0; c < kPlanes; ++c) {
        const float mean = sum[c] / static_cast<float>(std::max<int64_t>(count, 1));
        y[c * bins + bin] = count == 0 ? 0.0f : maximum_ ? most[c] : mean;
      }
    }
  }

  static std::vector<Between> all_between(const Bins& bins, int64_t count, int64_t length) {
    std::vector<Between> all;
    for (int64_t bin = 0; bin < count; ++bin) {
      for (int64_t sample = 0; sample < bins.samples; ++sample)
        all.push_back(between(bins.at(bin, sample), length));
    }
    return all;
  }

  int64_t height_, width_, samples_;
  float scale_;
  bool maximum_ = false, half_pixel_ = true;
};

}  // namespace

OpPtr make_roi_align(const NodeDef& node) { return std::make_unique<RoiAlign>(node); }

}  // namespace pycompress
