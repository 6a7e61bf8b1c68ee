// Weights of a convolution into the form that its path wants.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "conv/conv.h"

namespace pycompress {
namespace {

constexpr int64_t kFewChannels = 8;  // below, a tap is too short a run for the tile

void check_groups(int64_t filters, int64_t groups) {
  if (groups < 1 || filters < 1 || filters % groups != 0) {
    throw std::invalid_argument("the number of filters must be a multiple of the groups, found " +
                                std::to_string(filters) + " and " + std::to_string(groups));
  }
}

// Whether the depthwise kernels can do it; sets `flat`.
bool choose_depthwise(PackedConv& conv) {
  const Window& w = conv.window;
  if (conv.group_channels != 1 || conv.filters != conv.groups || conv.filters < 4) return false;
  const int64_t rows = w.kernel[0] * w.kernel[1];
  const bool fits = w.extent(2) * ((rows + 3) / 4) <= kDepthwiseSteps;
  conv.flat = rows == 1 || w.kernel[2] == 1 || w.stride[2] >= w.kernel[2] || !fits;
  return !conv.flat || (w.taps() + 3) / 4 <= kDepthwiseSteps;
}

ConvPath choose_gemm(const PackedConv& conv) {
  const int64_t kr = kernel_of(*conv.set, conv.is_float).kr;
  const bool whole = conv.group_channels % kr == 0;
  const Window& w = conv.window;
  const bool runs = w.dilation[2] == 1 && w.kernel[2] > 1;
  if (conv.groups == 1 && runs) return ConvPath::banded;
  if (conv.window.taps() == 1 && conv.groups == 1 && whole) return ConvPath::indirect;
  const bool gathers = !whole || conv.groups > 1 || conv.group_channels < kFewChannels;
  return gathers ? ConvPath::gathered : ConvPath::indirect;
}

// f(element) for [filters][channels][taps] -> [filters][taps][channels]
template <typename T>
std::vector<T> taps_first(const T* w, int64_t filters, int64_t channels, int64_t taps) {
  std::vector<T> out(static_cast<size_t>(filters * channels * taps));
  T* to = out.data();
  for (int64_t f = 0; f < filters; ++f, w += channels * taps) {
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < channels; ++c) *to++ = w[c * taps + t];
    }
  }
  return out;
}

// Tap `r` of image row `k` in the kernels' sense, as a tap of the window.
int64_t window_tap(const PackedConv& conv, int64_t k, int64_t r) {
  return conv.flat ? r : r * conv.window.kernel[2] + k;
}

void pack_depthwise_int8(PackedConv& conv, const uint8_t* w, bool w_signed) {
  const DepthwiseKernels& kernels = *conv.set->depthwise;
  const int64_t block = kernels.block;
  const int64_t group = kernels.group;
  const int64_t taps = conv.window.taps();
  const int64_t kernel = conv.taps_of_row();
  const int64_t rows = taps / kernel;
  const int64_t steps = kernel * ((rows + group - 1) / group);
  const int64_t blocks = (conv.filters + block - 1) / block;
  conv.depthwise = AlignedBuffer(static_cast<size_t>(blocks * steps * block * group));
  std::memset(conv.depthwise.data(), 0, conv.depthwise.size());
  conv.depthwise_sum.assign(static_cast<size_t>(conv.filters), 0);
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t p = 0; p < block; ++p) {
      const int64_t c = b * block + (group == 4 ? depthwise_channel(block, p) : p);
      if (c >= conv.filters) continue;
      for (int64_t k = 0; k < kernel; ++k) {
        for (int64_t r = 0; r < rows; ++r) {
          const uint8_t byte = w[c * taps + window_tap(conv, k, r)];
          const auto value = static_cast<int8_t>(w_signed ? byte : byte ^ 0x80);
          const int64_t step = (b * kernel + k) * ((rows + group - 1) / group) + r / group;
          conv.depthwise.data()[(step * block + p) * group + r % group] =
              static_cast<uint8_t>(value);
          conv.depthwise_sum[static_cast<size_t>(c)] += value;
        }
      }
    }
  }
}

void pack_depthwise_f32(PackedConv& conv, const float* w) {
  const int64_t taps = conv.window.taps();
  const int64_t kernel = conv.taps_of_row();
  const int64_t rows = taps / kernel;
  const int64_t padded = (conv.filters + 15) / 16 * 16;
  conv.depthwise = AlignedBuffer(static_cast<size_t>(taps * padded) * sizeof(float));
  std::memset(conv.depthwise.data(), 0, conv.depthwise.size());
  auto* out = reinterpret_cast<float*>(conv.depthwise.data());
  for (int64_t k = 0; k < kernel; ++k) {
    for (int64_t r = 0; r < rows; ++r, out += padded) {
      for (int64_t c = 0; c < conv.filters; ++c) out[c] = w[c * taps + window_tap(conv, k, r)];
    }
  }
}

bool zero_weights_are_zero(const int32_t* w_zero, bool w_signed, int64_t filters) {
  for (int64_t f = 0; f < filters; ++f) {
    if ((w_zero == nullptr ? 0 : w_zero[f]) != (w_signed ? 0 : 128)) return false;
  }
  return true;
}

// pack(weights of a group, tap_stride, k_stride, n_stride, taps, k, first filter)
template <typename T, typename Pack>
void pack_groups(PackedConv& conv, const T* w, const Pack& pack) {
  const int64_t taps = conv.window.taps();
  const int64_t channels = conv.group_channels;
  const int64_t filters = conv.group_filters();
  if (conv.path == ConvPath::banded) {
    const int64_t run = conv.window.kernel[2] * channels;
    const std::vector<T> ordered = taps_first(w, filters, channels, taps);
    conv.panels.push_back(
        pack(ordered.data(), taps * channels / run, run, run, 1, taps * channels, 0));
    return;
  }
  for (int64_t g = 0; g < conv.groups; ++g, w += filters * channels * taps) {
    if (conv.path == ConvPath::gathered) {
      const std::vector<T> ordered = taps_first(w, filters, channels, taps);
      conv.panels.push_back(
          pack(ordered.data(), 1, taps * channels, 0, 1, taps * channels, g * filters));
    } else {
      conv.panels.push_back(pack(w, taps, channels, 1, taps, channels * taps, g * filters));
    }
  }
}

// [filters][channels][taps] -> [abreast][filters][rows of taps][a long run of taps][channels], with
// `zero` where a pixel's window is not.
template <typename T>
std::vector<T> side_by_side(const PackedConv& conv, const T* w, T zero) {
  const Window& window = conv.window;
  const int64_t channels = conv.group_channels;
  const int64_t rows = window.kernel[0] * window.kernel[1];
  const int64_t length = run_taps(window, conv.abreast);
  std::vector<T> out(static_cast<size_t>(conv.abreast * conv.filters * rows * length * channels),
                     zero);
  T* to = out.data();
  for (int64_t i = 0; i < conv.abreast; ++i) {
    for (int64_t f = 0; f < conv.filters; ++f) {
      for (int64_t row = 0; row < rows; ++row, to += length * channels) {
        for (int64_t k = 0; k < window.kernel[2]; ++k) {
          T* const tap = to + (i * window.stride[2] + k) * channels;
          for (int64_t c = 0; c < channels; ++c)
            tap[c] = w[(f * channels + c) * window.taps() + row * window.kernel[2] + k];
        }
      }
    }
  }
  return out;
}

}  // namespace

// By the cycles that a block of rows takes for each pixel: a step in depth multiplies every row by
// every vector of columns, and loads both; behind them come the vectors of results.
int64_t pixels_abreast(const PackedConv& form) {
  if (form.path != ConvPath::banded) return 1;
  constexpr int64_t kMost = 16, kResults = 3;  // cycles for a vector of results
  constexpr double kGain = 0.95;               // for twice the weights
  const GemmKernel& kernel = kernel_of(*form.set, form.is_float);
  const Window& w = form.window;
  const TileShape shape = kernel.shapes[0];
  const auto cycles = [&](int64_t abreast) {
    const int64_t depth = round_up(run_taps(w, abreast) * form.group_channels, kernel.kr);
    const int64_t steps = w.kernel[0] * w.kernel[1] * depth / kernel.kr;
    const int64_t panels = ceil_div(abreast * form.filters, kernel.nr);
    const int64_t products = shape.rows * panels;
    const int64_t loads = panels + shape.rows * ceil_div(panels, shape.panels);
    const int64_t cost = steps * std::max(products, loads) + kResults * products;
    return static_cast<double>(cost) / static_cast<double>(shape.rows * abreast);
  };
  int64_t best = 1;
  for (int64_t abreast = 2; abreast <= kMost; abreast *= 2) {
    if (abreast * form.filters > shape.panels * kernel.nr) break;
    if (cycles(abreast) < kGain * cycles(best)) best = abreast;
  }
  return best;
}

PackedConv conv_form(const KernelSet& set, bool is_float, int64_t filters, int64_t group_channels,
                     int64_t groups, const Window& window, bool depthwise) {
  check_groups(filters, groups);
  PackedConv conv;
  conv.set = &set;
  conv.is_float = is_float;
  conv.window = window;
  conv.filters = filters;
  conv.group_channels = group_channels;
  conv.groups = groups;
  conv.path = depthwise && choose_depthwise(conv) ? ConvPath::depthwise : choose_gemm(conv);
  return conv;
}

PackedConv pack_conv_int8(const KernelSet& set, const void* w, bool w_signed, int64_t filters,
                          int64_t group_channels, int64_t groups, const Window& window,
                          const int32_t* w_zero) {
  const bool depthwise = zero_weights_are_zero(w_zero, w_signed, filters);
  PackedConv conv = conv_form(set, false, filters, group_channels, groups, window, depthwise);
  const auto* bytes = static_cast<const uint8_t*>(w);
  if (conv.path == ConvPath::depthwise) {
    pack_depthwise_int8(conv, bytes, w_signed);
    return conv;
  }
  pack_groups(conv, bytes,
              [&](const uint8_t* b, int64_t taps, int64_t k, int64_t tap_stride, int64_t k_stride,
                  int64_t n_stride, int64_t first) {
                const int32_t* zero = w_zero == nullptr ? nullptr : w_zero + first;
                return pack_b_int8(set, b, w_signed, taps, k, conv.group_filters(), tap_stride,
                                   k_stride, n_stride, zero);
              });
  if (!conv.panels[0].col_zero.empty()) return conv;
  conv.abreast = pixels_abreast(conv);
  if (conv.abreast > 1) {
    const uint8_t zero = w_signed ? 0 : 128;
    const std::vector<uint8_t> values = side_by_side(conv, bytes, zero);
    const int64_t columns = conv.abreast * conv.filters;
    const int64_t rows = window.kernel[0] * window.kernel[1];
    const int64_t run = run_taps(window, conv.abreast) * group_channels;
    const std::vector<int32_t> zeros(static_cast<size_t>(columns), zero);
    conv.wide = pack_b_int8(set, values.data(), w_signed, rows, run, columns, run, 1, rows * run,
                            zeros.data());
  }
  return conv;
}

PackedConv pack_conv_f32(const KernelSet& set, const float* w, int64_t filters,
                         int64_t group_channels, int64_t groups, const Window& window) {
  PackedConv conv = conv_form(set, true, filters, group_channels, groups, window, true);
  if (conv.path == ConvPath::depthwise) {
    pack_depthwise_f32(conv, w);
    return conv;
  }
  pack_groups(conv, w,
              [&](const float* b, int64_t taps, int64_t k, int64_t tap_stride, int64_t k_stride,
                  int64_t n_stride, int64_t) {
                return pack_b_f32(set, b, taps, k, conv.group_filters(), tap_stride, k_stride,
                                  n_stride);
              });
  conv.abreast = pixels_abreast(conv);
  if (conv.abreast > 1) {
    const std::vector<float> values = side_by_side(conv, w, 0.0f);
    const int64_t rows = window.kernel[0] * window.kernel[1];
    const int64_t run = run_taps(window, conv.abreast) * group_channels;
    conv.wide =
        pack_b_f32(set, values.data(), rows, run, conv.abreast * filters, run, 1, rows * run);
  }
  return conv;
}

void conv_init(const PackedConv& conv, int32_t x_zero, bool x_signed, const int32_t* bias,
               int32_t* init) {
  if (conv.path == ConvPath::depthwise) {
    const bool as_is = conv.set->depthwise->a_signed == x_signed;
    const int32_t zero = x_zero + (as_is ? 0 : x_signed ? 128 : -128);  // as the kernels read x
    for (size_t c = 0; c < conv.depthwise_sum.size(); ++c) {
      init[c] = (bias == nullptr ? 0 : bias[c]) - zero * conv.depthwise_sum[c];
    }
    return;
  }
  const int64_t filters = conv.group_filters();
  for (size_t g = 0; g < conv.panels.size(); ++g) {
    const auto first = static_cast<int64_t>(g) * filters;
    gemm_init(conv.panels[g], x_zero, x_signed, bias == nullptr ? nullptr : bias + first,
              init + first);
  }
}

size_t PackedConv::bytes() const {
  size_t total = depthwise.size() + wide.panels.size();
  for (const PackedB& group : panels) total += group.panels.size();
  return total;
}

}  // namespace pycompress
