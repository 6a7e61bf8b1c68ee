// NonMaxSuppression: of boxes that cover each other, the one with the highest score.
#include <algorithm>
#include <limits>

#include "engine/data_op.h"

namespace pycompress {
namespace {

struct Box {
  float low[2], high[2], area;
};

// Corners in any order, or a centre with width and height.
Box box_of(const float* b, bool centred) {
  Box box;
  if (centred) {
    const float half[2] = {b[3] / 2.0f, b[2] / 2.0f};
    const float centre[2] = {b[1], b[0]};
    for (int i = 0; i < 2; ++i) {
      box.low[i] = centre[i] - half[i];
      box.high[i] = centre[i] + half[i];
    }
  } else {
    for (int i = 0; i < 2; ++i) {
      box.low[i] = std::min(b[i], b[i + 2]);
      box.high[i] = std::max(b[i], b[i + 2]);
    }
  }
  box.area = (box.high[0] - box.low[0]) * (box.high[1] - box.low[1]);
  return box;
}

bool covers(const Box& a, const Box& b, float threshold) {
  float common = 1.0f;
  for (int i = 0; i < 2; ++i) {
    const float side = std::min(a.high[i], b.high[i]) - std::max(a.low[i], b.low[i]);
    if (!(side > 0.0f)) return false;
    common *= side;
  }
  const float whole = a.area + b.area - common;
  return a.area > 0.0f && b.area > 0.0f && whole > 0.0f && common / whole > threshold;
}

float number(const Tensor* tensor, float otherwise, const char* what) {
  if (tensor == nullptr) return otherwise;
  if (tensor->dtype != DType::f32 || tensor->elements() != 1)
    fail(std::string(what) + " must be one float32, found " + dtype_name(tensor->dtype) +
         tensor->shape.str());
  return *tensor->as<float>();
}

class NonMaxSuppression final : public DataOp {
 public:
  explicit NonMaxSuppression(bool centred) : centred_(centred) {}

  std::vector<DataResult> run(const std::vector<const Tensor*>& inputs) const override {
    const Tensor& boxes = *inputs[0];
    const Tensor& scores = *inputs[1];
    if (boxes.dtype != DType::f32 || boxes.shape.rank() != 3 || boxes.shape[2] != 4)
      fail(std::string("input 0 (boxes) must be float32 [batch, boxes, 4], found ") +
           dtype_name(boxes.dtype) + boxes.shape.str());
    const int64_t batch = boxes.shape[0];
    const int64_t count = boxes.shape[1];
    if (scores.dtype != DType::f32 || scores.shape.rank() != 3 || scores.shape[0] != batch ||
        scores.shape[2] != count) {
      fail(std::string("input 1 (scores) must be float32 [") + str(batch) + ", classes, " +
           str(count) + "], found " + dtype_name(scores.dtype) + scores.shape.str());
    }
    int64_t most = 0;
    if (const Tensor* given = input(inputs, 2)) {
      if (given->dtype != DType::s64 || given->elements() != 1)
        fail(std::string("max_output_boxes_per_class must be one int64, found ") +
             dtype_name(given->dtype) + given->shape.str());
      most = *given->as<int64_t>();
    }
    const float threshold = number(input(inputs, 3), 0.0f, "iou_threshold");
    if (!(threshold >= 0.0f && threshold <= 1.0f))
      fail("iou_threshold must be from 0 to 1, found " + std::to_string(threshold));
    const float least =
        number(input(inputs, 4), -std::numeric_limits<float>::infinity(), "score_threshold");
    const bool all = input(inputs, 4) == nullptr;
    const int64_t classes = scores.shape[1];
    std::vector<int64_t> y;
    std::vector<Box> corners(static_cast<size_t>(count));
    for (int64_t b = 0; b < batch && most > 0; ++b) {
      for (int64_t i = 0; i < count; ++i)
        corners[static_cast<size_t>(i)] = box_of(boxes.as<float>() + (b * count + i) * 4, centred_);
      for (int64_t c = 0; c < classes; ++c) {
        const float* score = scores.as<float>() + (b * classes + c) * count;
        for (const int64_t i : select(corners, score, most, threshold, least, all))
          y.insert(y.end(), {b, c, i});
      }
    }
    std::vector<DataResult> results;
    results.push_back(DataResult::of({static_cast<int64_t>(y.size()) / 3, 3}, y));
    return results;
  }

 private:
  static const Tensor* input(const std::vector<const Tensor*>& inputs, size_t i) {
    return i < inputs.size() ? inputs[i] : nullptr;
  }

  struct Candidate {
    float score;
    int64_t box;
    // The best on top of a heap, of equal ones the first.
    bool operator<(const Candidate& other) const {
      return score < other.score || (score == other.score && box > other.box);
    }
  };

  // The boxes that stay, the best first. Few do, so that most candidates are never put in order.
  static std::vector<int64_t> select(const std::vector<Box>& boxes, const float* score,
                                     int64_t most, float threshold, float least, bool all) {
    std::vector<Candidate> heap;
    for (int64_t i = 0; i < static_cast<int64_t>(boxes.size()); ++i) {
      const bool is_nan = score[i] != score[i];  // has no place in the order
      if (!is_nan && (all || score[i] > least)) heap.push_back({score[i], i});
    }
    std::make_heap(heap.begin(), heap.end());
    std::vector<int64_t> kept;
    std::vector<Box> kept_boxes;
    while (!heap.empty() && static_cast<int64_t>(kept.size()) < most) {
      const int64_t i = heap.front().box;
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      const Box& box = boxes[static_cast<size_t>(i)];
      const bool covered = std::any_of(kept_boxes.begin(), kept_boxes.end(),
                                       [&](const Box& k) { return covers(box, k, threshold); });
      if (covered) continue;
      kept.push_back(i);
      kept_boxes.push_back(box);
    }
    return kept;
  }

  bool centred_;
};

}  // namespace

DataOpPtr make_non_max_suppression(const NodeDef& node) {
  const int64_t form = node.integer("center_point_box", 0);
  if (form != 0 && form != 1)
    fail("attribute 'center_point_box' must be 0 or 1, found " + str(form));
  return std::make_unique<NonMaxSuppression>(form == 1);
}

}  // namespace pycompress
