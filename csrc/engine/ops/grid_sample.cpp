// GridSample: values of an image at places between its pixels. The taps of a place, offsets and
// weights, are found once and serve all channels.
#include <algorithm>
#include <cmath>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

enum class Mode { nearest, linear, cubic };
enum class Outside { zeros, border, reflection };

constexpr int kMostAxes = 3;
constexpr int kMostTaps = 64;  // 4 along each of 3 axes
constexpr int64_t kNowhere = -1;
constexpr int64_t kBlock = 32;  // places whose taps are kept at once

// What one axis adds to the taps of a place.
template <typename T>
struct AxisTaps {
  int count = 0;
  int64_t index[4] = {};  // kNowhere: outside, where all is zero
  T weight[4] = {};
};

// Four pixels inside an image: two of a row, and the two of the next row.
template <typename T>
struct Square {
  int64_t first;
  T weight[4];

  T sum(const T* image, int64_t row) const {
    const T* const at = image + first;
    return weight[0] * at[0] + weight[1] * at[1] + weight[2] * at[row] + weight[3] * at[row + 1];
  }
};

// The pixels that a place is made of.
template <typename T>
struct PlaceTaps {
  int count = 0;
  int64_t offset[kMostTaps];
  T weight[kMostTaps];

  T sum(const T* image) const {
    T total = 0;
    for (int i = 0; i < count; ++i) total += weight[i] * image[offset[i]];
    return total;
  }
};

class GridSample final : public Op {
 public:
  GridSample(Mode mode, Outside outside, bool align)
      : mode_(mode), outside_(outside), align_(align) {}

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    const Shape& x = plan.shape(0);
    const Shape& grid = plan.shape(1);
    if (plan.dtype(0) != DType::f32 && plan.dtype(0) != DType::f64)
      fail(std::string("input 0 (X) must be float32 or float64, found ") +
           dtype_name(plan.dtype(0)));
    plan.need_dtype(1, plan.dtype(0), "grid");
    const int axes = x.rank() - 2;
    const bool fits = axes >= 1 && axes <= kMostAxes && grid.rank() == x.rank() &&
                      grid[0] == x[0] && grid[grid.rank() - 1] == axes;
    if (!fits)
      fail("grid of shape " + grid.str() + " does not fit X of shape " + x.str() +
           ", which may have 1 to 3 spatial dimensions");
    Shape out{x[0], x[1]};
    for (int i = 0; i < axes; ++i) {
      if (x[2 + i] == 0) fail("X of shape " + x.str() + " has no pixels");
      out.push(grid[1 + i]);
    }
    plan.output(0, plan.dtype(0), out);
    return nullptr;
  }

  void run(const RunContext& run) const override {
    dispatch(run.input(0).dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_floating_point_v<T>) sample<T>(run);
    });
  }

 private:
  template <typename T>
  void sample(const RunContext& run) const {
    const Tensor& x = run.input(0);
    const Tensor& y = run.output(0);
    const int axes = x.shape.rank() - 2;
    const int64_t channels = x.shape[1];
    const int64_t image = x.shape.product(2, x.shape.rank());
    const int64_t places = y.shape.product(2, y.shape.rank());
    const int64_t blocks = (places + kBlock - 1) / kBlock;
    const double cost = kBlock * (20.0 * axes + 4.0 * static_cast<double>(channels) * (1 << axes));
    const bool squares = axes == 2 && mode_ == Mode::linear;
    parallel_ranges(run.pool(), x.shape[0] * blocks, cost, [&](int64_t begin, int64_t end) {
      Square<T> square[kBlock];
      std::vector<PlaceTaps<T>> taps(kBlock);
      for (int64_t b = begin; b < end; ++b) {
        const int64_t n = b / blocks;
        const int64_t first = b % blocks * kBlock;
        const int64_t count = std::min<int64_t>(kBlock, places - first);
        const T* grid = run.input(1).as<T>() + (n * places + first) * axes;
        const T* from = x.as<T>() + n * channels * image;
        T* to = y.as<T>() + n * channels * places + first;
        int64_t others[kBlock];  // whose taps are not such a square
        int64_t other_count = 0;
        for (int64_t p = 0; p < count; ++p) {
          const T* const place = grid + p * axes;
          if (squares && find_square(place, x.shape, &square[p])) continue;
          find_taps(place, x.shape, &taps[static_cast<size_t>(other_count)]);
          square[p] = {};
          others[other_count++] = p;
        }
        if (other_count < count)
          sum_squares(square, count, {from, image, x.shape[3]}, {to, places}, channels);
        for (int64_t c = 0; other_count > 0 && c < channels; ++c, from += image, to += places) {
          for (int64_t i = 0; i < other_count; ++i)
            to[others[i]] = taps[static_cast<size_t>(i)].sum(from);
        }
      }
    });
  }

  template <typename T>
  struct Planes {
    T* first;
    int64_t step;     // from one channel to the next
    int64_t row = 0;  // from one row of pixels to the next
  };

  // Four channels share the weights that are loaded.
  template <typename T>
  static void sum_squares(const Square<T>* squares, int64_t count, Planes<const T> from,
                          Planes<T> to, int64_t channels) {
    int64_t c = 0;
    for (; c + 4 <= channels; c += 4, from.first += 4 * from.step, to.first += 4 * to.step) {
      for (int64_t p = 0; p < count; ++p) {
        const Square<T> square = squares[p];
        for (int64_t i = 0; i < 4; ++i)
          to.first[i * to.step + p] = square.sum(from.first + i * from.step, from.row);
      }
    }
    for (; c < channels; ++c, from.first += from.step, to.first += to.step) {
      for (int64_t p = 0; p < count; ++p) to.first[p] = squares[p].sum(from.first, from.row);
    }
  }

  // Tells whether a place lies between four pixels of an image: then what is outside of it does not
  // matter.
  template <typename T>
  bool find_square(const T* place, const Shape& x, Square<T>* square) const {
    const T down = position(place[1], x[2]);
    const T across = position(place[0], x[3]);
    const bool inside = down >= 0 && across >= 0 && down < static_cast<T>(x[2] - 1) &&
                        across < static_cast<T>(x[3] - 1);
    if (!inside) return false;
    const auto row = static_cast<int64_t>(down);
    const auto column = static_cast<int64_t>(across);
    const T v = down - static_cast<T>(row);
    const T h = across - static_cast<T>(column);
    *square = {row * x[3] + column, {(1 - v) * (1 - h), (1 - v) * h, v * (1 - h), v * h}};
    return true;
  }

  // The grid names the last axis first.
  template <typename T>
  void find_taps(const T* place, const Shape& x, PlaceTaps<T>* taps) const {
    const int axes = x.rank() - 2;
    taps->count = 1;
    taps->offset[0] = 0;
    taps->weight[0] = 1;
    PlaceTaps<T> before;
    for (int i = 0; i < axes; ++i) {
      const int64_t length = x[2 + i];
      const AxisTaps<T> axis = taps_of(place[axes - 1 - i], length);
      before.count = taps->count;
      std::copy(taps->offset, taps->offset + before.count, before.offset);
      std::copy(taps->weight, taps->weight + before.count, before.weight);
      taps->count = 0;
      for (int t = 0; t < before.count; ++t) {
        for (int k = 0; k < axis.count; ++k) {
          if (axis.index[k] == kNowhere) continue;
          taps->offset[taps->count] = before.offset[t] * length + axis.index[k];
          taps->weight[taps->count++] = before.weight[t] * axis.weight[k];
        }
      }
    }
  }

  // In pixels, of -1 to 1 along an axis.
  template <typename T>
  T position(T n, int64_t length) const {
    const auto size = static_cast<T>(length);
    return align_ ? (n + 1) / 2 * (size - 1) : ((n + 1) * size - 1) / 2;
  }

  template <typename T>
  AxisTaps<T> taps_of(T n, int64_t length) const {
    T v = position(n, length);
    // What is no number, or too far away to be counted, lies outside.
    if (!(std::fabs(v) < T{1e9})) v = -100;
    if (mode_ == Mode::nearest) v = std::nearbyint(v);
    v = brought_back(v, length);
    AxisTaps<T> axis;
    if (mode_ == Mode::nearest) {
      add(static_cast<int64_t>(v), T{1}, length, &axis);
      return axis;
    }
    const T floor = std::floor(v);
    const T t = v - floor;
    const auto first = static_cast<int64_t>(floor);
    if (mode_ == Mode::linear) {
      add(first, 1 - t, length, &axis);
      add(first + 1, t, length, &axis);
      return axis;
    }
    constexpr T a = -0.75;
    const auto far = [](T d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
    const auto near = [](T d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
    add(first - 1, far(t + 1), length, &axis);
    add(first, near(t), length, &axis);
    add(first + 1, near(1 - t), length, &axis);
    add(first + 2, far(2 - t), length, &axis);
    return axis;
  }

  template <typename T>
  void add(int64_t index, T weight, int64_t length, AxisTaps<T>* axis) const {
    const bool inside = index >= 0 && index < length;
    if (!inside && outside_ == Outside::zeros) {
      index = kNowhere;
    } else if (!inside && outside_ == Outside::border) {
      index = std::clamp<int64_t>(index, 0, length - 1);
    } else if (!inside) {
      const T reflected = reflect(static_cast<T>(index), length);
      index = std::clamp<int64_t>(static_cast<int64_t>(reflected), 0, length - 1);
    }
    axis->index[axis->count] = index;
    axis->weight[axis->count++] = weight;
  }

  template <typename T>
  T low() const {
    return align_ ? T{0} : T{-0.5};
  }

  template <typename T>
  T high(int64_t length) const {
    return static_cast<T>(length - 1) - low<T>();
  }

  template <typename T>
  T brought_back(T v, int64_t length) const {
    if (v >= low<T>() && v <= high<T>(length)) return v;
    if (outside_ == Outside::border) return std::clamp(v, T{0}, static_cast<T>(length - 1));
    return outside_ == Outside::reflection ? reflect(v, length) : v;
  }

  // Back and forth between the two ends.
  template <typename T>
  T reflect(T v, int64_t length) const {
    const T least = low<T>();
    const T most = high<T>(length);
    const T range = most - least;
    if (range <= 0) return least;
    const bool below = v < least;
    if (!below && v <= most) return v;
    const T beyond = below ? least - v : v - most;
    const auto times = static_cast<int64_t>(beyond / range);
    const T rest = beyond - static_cast<T>(times) * range;
    return below == (times % 2 == 0) ? least + rest : most - rest;
  }

  Mode mode_;
  Outside outside_;
  bool align_;
};

}  // namespace

OpPtr make_grid_sample(const NodeDef& node) {
  const std::string mode = node.text("mode", "linear");
  const std::string outside = node.text("padding_mode", "zeros");
  constexpr std::pair<const char*, Mode> kModes[] = {
      {"linear", Mode::linear}, {"bilinear", Mode::linear},  // before opset 20
      {"cubic", Mode::cubic},   {"bicubic", Mode::cubic},   {"nearest", Mode::nearest},
  };
  constexpr std::pair<const char*, Outside> kOutside[] = {
      {"zeros", Outside::zeros},
      {"border", Outside::border},
      {"reflection", Outside::reflection},
  };
  for (const auto& [name, value] : kModes) {
    if (mode != name) continue;
    for (const auto& [padding, where] : kOutside) {
      if (outside == padding)
        return std::make_unique<GridSample>(value, where, node.flag("align_corners", false));
    }
    fail("attribute 'padding_mode' must be zeros, border or reflection, found '" + outside + "'");
  }
  fail("attribute 'mode' must be linear, cubic or nearest, found '" + mode + "'");
}

}  // namespace pycompress
