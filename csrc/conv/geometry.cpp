#include "conv/geometry.h"

#include <stdexcept>

namespace pycompress {
namespace {

constexpr int64_t kLargest = int64_t{1} << 31;  // of any attribute: products stay within int64

std::string text(int64_t value) { return std::to_string(value); }

void need(bool ok, const std::string& message) {
  if (!ok) throw std::invalid_argument(message);
}

void check_count(const char* name, const std::vector<int64_t>& values, size_t wanted,
                 int64_t least) {
  need(values.empty() || values.size() == wanted, std::string(name) + " must have " +
                                                      std::to_string(wanted) + " values, found " +
                                                      std::to_string(values.size()));
  for (int64_t value : values) {
    need(value >= least && value < kLargest,
         std::string(name) + " must be at least " + text(least) + ", found " + text(value));
  }
}

AutoPad auto_pad_of(const std::string& name) {
  if (name.empty() || name == "NOTSET") return AutoPad::notset;
  if (name == "SAME_UPPER") return AutoPad::same_upper;
  if (name == "SAME_LOWER") return AutoPad::same_lower;
  if (name == "VALID") return AutoPad::valid;
  throw std::invalid_argument("auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, found '" +
                              name + "'");
}

}  // namespace

Window Window::from_attributes(const std::vector<int64_t>& kernel,
                               const std::vector<int64_t>& strides,
                               const std::vector<int64_t>& dilations,
                               const std::vector<int64_t>& pads, const std::string& auto_pad,
                               bool ceil_mode) {
  const size_t rank = kernel.size();
  need(rank >= 1 && rank <= 3,
       "a window must have 1 to 3 spatial dimensions, found " + std::to_string(rank));
  check_count("kernel_shape", kernel, rank, 1);
  check_count("strides", strides, rank, 1);
  check_count("dilations", dilations, rank, 1);
  check_count("pads", pads, 2 * rank, 0);
  Window window;
  window.rank = static_cast<int>(rank);
  window.auto_pad = auto_pad_of(auto_pad);
  window.ceil_mode = ceil_mode;
  for (size_t i = 0; i < rank; ++i) {
    const size_t d = 3 - rank + i;
    window.kernel[d] = kernel[i];
    if (!strides.empty()) window.stride[d] = strides[i];
    if (!dilations.empty()) window.dilation[d] = dilations[i];
    if (!pads.empty() && window.auto_pad == AutoPad::notset) {
      window.pad_begin[d] = pads[i];
      window.pad_end[d] = pads[rank + i];
    }
  }
  return window;
}

Placement place(const Window& window, int64_t batch, const int64_t* spatial) {
  Placement result;
  result.window = window;
  result.batch = batch;
  for (int i = 0; i < 3; ++i) {
    const int dim = i - (3 - window.rank);
    if (dim < 0) continue;
    const int64_t in = spatial[dim];
    const int64_t stride = window.stride[i];
    int64_t begin = window.pad_begin[i];
    int64_t end = window.pad_end[i];
    if (window.auto_pad == AutoPad::same_upper || window.auto_pad == AutoPad::same_lower) {
      const int64_t out = (in + stride - 1) / stride;
      const int64_t total = (out - 1) * stride + window.extent(i) - in;
      const int64_t less = total > 0 ? total / 2 : 0;
      const int64_t more = total > 0 ? total - less : 0;
      begin = window.auto_pad == AutoPad::same_upper ? less : more;
      end = window.auto_pad == AutoPad::same_upper ? more : less;
    }
    const int64_t room = in + begin + end - window.extent(i);
    need(room >= 0 && in > 0, "spatial dimension " + text(dim) + " of the input is " + text(in) +
                                  " with padding " + text(begin) + " and " + text(end) +
                                  ": smaller than the window, " + text(window.extent(i)));
    int64_t out = room / stride + 1;
    // A window that would begin beyond the input and its leading padding does not count.
    if (window.ceil_mode && room % stride != 0 && out * stride < in + begin) ++out;
    result.in[i] = in;
    result.out[i] = out;
    result.pad[i] = begin;
    result.pad_end[i] = end;
  }
  return result;
}

PixelCursor::PixelCursor(const Placement& placement, int64_t pixel) : place_(placement) {
  for (int i = 2; i >= 0; --i) {
    at_[i] = pixel % placement.out[i];
    pixel /= placement.out[i];
  }
  image_ = pixel;
}

void PixelCursor::next() {
  for (int i = 2; i >= 0; --i) {
    if (++at_[i] < place_.out[i]) return;
    at_[i] = 0;
  }
  ++image_;
}

}  // namespace pycompress
