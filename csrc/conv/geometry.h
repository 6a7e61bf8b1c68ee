// Sliding windows over 1 to 3 spatial dimensions: where each output pixel's window lies.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pycompress {

enum class AutoPad { notset, same_upper, same_lower, valid };

// The attributes of a convolution or pooling. Three spatial dimensions always: a window over fewer
// has its own in the last places and ones before them.
struct Window {
  int rank = 0;
  int64_t kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t dilation[3] = {1, 1, 1};
  int64_t pad_begin[3] = {0, 0, 0};
  int64_t pad_end[3] = {0, 0, 0};
  AutoPad auto_pad = AutoPad::notset;
  bool ceil_mode = false;

  // Empty strides, dilations or pads mean ONNX's defaults. Throws std::invalid_argument that names
  // the attribute.
  static Window from_attributes(const std::vector<int64_t>& kernel,
                                const std::vector<int64_t>& strides,
                                const std::vector<int64_t>& dilations,
                                const std::vector<int64_t>& pads, const std::string& auto_pad,
                                bool ceil_mode);

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t extent(int i) const { return (kernel[i] - 1) * dilation[i] + 1; }
};

// A window on an input of known size: NHWC in, NHWC out.
struct Placement {
  Window window;
  int64_t batch = 0;
  int64_t in[3] = {1, 1, 1};
  int64_t out[3] = {1, 1, 1};
  int64_t pad[3] = {0, 0, 0};      // before the input; auto_pad resolved
  int64_t pad_end[3] = {0, 0, 0};  // after it, without what ceil_mode lets a window reach further

  int64_t pixels() const { return batch * out[0] * out[1] * out[2]; }
  int64_t input_pixels() const { return batch * in[0] * in[1] * in[2]; }
};

// spatial: the input's `window.rank` spatial dimensions. Throws std::invalid_argument when the
// window does not fit.
Placement place(const Window& window, int64_t batch, const int64_t* spatial);

// A pixel of the output and the input pixel where its window begins, stepping along the rows of the
// output.
class PixelCursor {
 public:
  PixelCursor(const Placement& placement, int64_t pixel);
  void next();

  int64_t image() const { return image_; }
  int64_t at(int i) const { return at_[i]; }
  // Input coordinate of the window's first tap; may be outside.
  int64_t start(int i) const { return at_[i] * place_.window.stride[i] - place_.pad[i]; }

 private:
  const Placement& place_;
  int64_t image_;
  int64_t at_[3];
};

}  // namespace pycompress
