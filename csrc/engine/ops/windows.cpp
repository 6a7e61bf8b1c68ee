#include "engine/ops/windows.h"

namespace pycompress {

Window read_conv_window(const NodeDef& node, const Shape& w) {
  if (w.rank() < 3 || w.rank() > 5) {
    fail("input 1 (w) must have 1 to 3 spatial dimensions after its channels, found " + w.str());
  }
  const std::vector<int64_t> kernel(w.begin() + 2, w.end());
  const std::vector<int64_t> stated = node.integers("kernel_shape");
  if (!stated.empty() && stated != kernel) {
    fail("attribute 'kernel_shape' " + Shape(stated).str() + " differs from that of input 1 (w), " +
         w.str());
  }
  return Window::from_attributes(kernel, node.integers("strides"), node.integers("dilations"),
                                 node.integers("pads"), node.text("auto_pad", "NOTSET"), false);
}

Window read_pool_window(const NodeDef& node) {
  const std::vector<int64_t> kernel = node.integers("kernel_shape");
  if (kernel.empty()) fail("attribute 'kernel_shape' is missing");
  return Window::from_attributes(kernel, node.integers("strides"), node.integers("dilations"),
                                 node.integers("pads"), node.text("auto_pad", "NOTSET"),
                                 node.flag("ceil_mode", false));
}

Placement place_on(const Shape& x, const Window& window, int64_t channels) {
  if (x.rank() != window.rank + 2 || (channels >= 0 && x[x.rank() - 1] != channels)) {
    fail("input 0 (x) has shape " + x.str() + ", wanted [N, " + str(window.rank) +
         " spatial dimensions, " + (channels >= 0 ? str(channels) : "C") + "]");
  }
  return place(window, x[0], x.begin() + 1);
}

Shape shape_of(const Placement& placement, int64_t channels) {
  Shape shape{placement.batch};
  for (int i = 3 - placement.window.rank; i < 3; ++i) shape.push(placement.out[i]);
  shape.push(channels);
  return shape;
}

}  // namespace pycompress
