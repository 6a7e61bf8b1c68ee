#include "conv/stored.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace pycompress {
namespace {

enum Place { kIsFloat, kPath, kFlat, kBlock, kGroup, kPlaces };

// Where tap t of channel c lies among stored depthwise weights, in elements.
struct DepthwiseLayout {
  DepthwiseLayout(const PackedConv& conv, const std::vector<int64_t>& layout)
      : is_float(conv.is_float),
        block(layout[kBlock]),
        group(layout[kGroup]),
        kernel(conv.taps_of_row()),
        rows(conv.window.taps() / kernel),
        padded((conv.filters + 15) / 16 * 16) {
    if (block < 16 || block > 4096 || block % 16 != 0 || (group != 1 && group != 4)) {
      throw std::invalid_argument("stored depthwise weights have an impossible layout: blocks of " +
                                  std::to_string(block) + ", groups of " + std::to_string(group));
    }
    if (is_float) return;
    position.resize(static_cast<size_t>(block));
    for (int64_t p = 0; p < block; ++p)
      position[static_cast<size_t>(group == 4 ? depthwise_channel(block, p) : p)] = p;
  }

  int64_t elements(const PackedConv& conv) const {
    if (is_float) return conv.window.taps() * padded;
    return (conv.filters + block - 1) / block * steps() * block * group;
  }

  int64_t at(int64_t channel, int64_t k, int64_t r) const {
    if (is_float) return (k * rows + r) * padded + channel;
    const int64_t step = channel / block * steps() + k * row_groups() + r / group;
    return (step * block + position[static_cast<size_t>(channel % block)]) * group + r % group;
  }

  int64_t row_groups() const { return (rows + group - 1) / group; }
  int64_t steps() const { return kernel * row_groups(); }

  bool is_float;
  int64_t block, group, kernel, rows, padded;
  std::vector<int64_t> position;  // of each channel of a block
};

template <typename T>
std::vector<T> unpack_depthwise(const PackedConv& conv, const DepthwiseLayout& from,
                                const Block& block) {
  std::vector<T> w(static_cast<size_t>(conv.filters * conv.window.taps()));
  T* to = w.data();
  for (int64_t c = 0; c < conv.filters; ++c) {
    for (int64_t t = 0; t < conv.window.taps(); ++t, ++to) {
      const int64_t k = conv.flat ? 0 : t % from.kernel;
      const int64_t r = conv.flat ? t : t / from.kernel;
      std::memcpy(to, block.data + static_cast<size_t>(from.at(c, k, r)) * sizeof(T), sizeof(T));
    }
  }
  return w;
}

// [taps][channels][filters] of one group -> [filters][channels][taps]
template <typename T>
void taps_last(const std::vector<T>& from, const PackedConv& conv, T* to) {
  const int64_t taps = conv.window.taps();
  const int64_t filters = conv.group_filters();
  for (int64_t f = 0; f < filters; ++f) {
    for (int64_t c = 0; c < conv.group_channels; ++c) {
      for (int64_t t = 0; t < taps; ++t)
        *to++ = from[static_cast<size_t>((t * conv.group_channels + c) * filters + f)];
    }
  }
}

PackedConv repack(const KernelSet& set, const PackedConv& form,
                  const std::vector<Unpacked>& parts) {
  const int64_t size = form.group_filters() * form.group_channels * form.window.taps();
  std::vector<float> floats(form.is_float ? static_cast<size_t>(size * form.groups) : 0);
  std::vector<int8_t> integers(form.is_float ? 0 : static_cast<size_t>(size * form.groups));
  std::vector<int32_t> zeros;
  for (size_t g = 0; g < parts.size(); ++g) {
    const auto first = static_cast<int64_t>(g) * size;
    if (form.is_float) taps_last(parts[g].floats, form, floats.data() + first);
    if (!form.is_float) taps_last(parts[g].integers, form, integers.data() + first);
    if (parts[g].zeros.empty()) continue;
    zeros.resize(static_cast<size_t>(form.filters), 0);
    std::copy(parts[g].zeros.begin(), parts[g].zeros.end(),
              zeros.begin() + static_cast<int64_t>(g) * form.group_filters());
  }
  if (form.is_float) {
    return pack_conv_f32(set, floats.data(), form.filters, form.group_channels, form.groups,
                         form.window);
  }
  return pack_conv_int8(set, integers.data(), true, form.filters, form.group_channels, form.groups,
                        form.window, zeros.empty() ? nullptr : zeros.data());
}

PackedConv restore_depthwise(const KernelSet& set, PackedConv form, const Stored& stored) {
  const DepthwiseLayout layout(form, stored.layout);
  const Block& weights = stored.blocks[0];
  const Block& sums = stored.blocks[1];
  need_block(weights, layout.elements(form), form.is_float ? 4 : 1, "depthwise weights");
  need_block(sums, form.is_float ? 0 : form.filters, sizeof(int32_t), "depthwise sums");
  const bool aligned = reinterpret_cast<uintptr_t>(weights.data) % 64 == 0;
  const bool same = form.is_float ||
                    (layout.block == set.depthwise->block && layout.group == set.depthwise->group);
  if (aligned && same) {
    form.depthwise = AlignedBuffer(weights.owner, weights.data, weights.bytes);
    form.depthwise_sum.resize(sums.bytes / sizeof(int32_t));
    if (sums.bytes != 0) std::memcpy(form.depthwise_sum.data(), sums.data, sums.bytes);
    return form;
  }
  if (form.is_float) {
    const std::vector<float> w = unpack_depthwise<float>(form, layout, weights);
    return pack_conv_f32(set, w.data(), form.filters, 1, form.groups, form.window);
  }
  const std::vector<int8_t> w = unpack_depthwise<int8_t>(form, layout, weights);
  return pack_conv_int8(set, w.data(), true, form.filters, 1, form.groups, form.window, nullptr);
}

}  // namespace

std::vector<Stored> store_conv(const PackedConv& conv) {
  std::vector<Stored> all(1);
  all[0].layout = {conv.is_float, static_cast<int64_t>(conv.path), conv.flat,
                   conv.set->depthwise->block, conv.set->depthwise->group};
  all[0].blocks = {{nullptr, conv.depthwise.data(), conv.depthwise.size()},
                   {nullptr, reinterpret_cast<const uint8_t*>(conv.depthwise_sum.data()),
                    conv.depthwise_sum.size() * sizeof(int32_t)}};
  for (const PackedB& group : conv.panels) all.push_back(store_b(group));
  return all;
}

PackedConv restore_conv(const KernelSet& set, const std::vector<Stored>& stored, bool is_float,
                        int64_t filters, int64_t group_channels, int64_t groups,
                        const Window& window) {
  if (stored.empty() || stored[0].layout.size() != kPlaces || stored[0].blocks.size() != 2 ||
      (stored[0].layout[kIsFloat] != 0) != is_float) {
    throw std::invalid_argument("stored weights are not those of this convolution");
  }
  const auto path = static_cast<ConvPath>(stored[0].layout[kPath]);
  const bool depthwise = path == ConvPath::depthwise;
  PackedConv form = conv_form(set, is_float, filters, group_channels, groups, window, depthwise);
  const bool as_deep = stored.size() == (depthwise ? 1 : static_cast<size_t>(groups) + 1);
  if (!as_deep || (form.path == ConvPath::depthwise) != depthwise ||
      (depthwise && form.flat != (stored[0].layout[kFlat] != 0))) {
    throw std::invalid_argument("stored weights are not those of this convolution");
  }
  if (depthwise) return restore_depthwise(set, std::move(form), stored[0]);
  const int64_t taps = window.taps();
  const bool gathered = path == ConvPath::gathered;
  const int64_t run = path == ConvPath::banded ? window.kernel[2] : gathered ? taps : 1;
  // What is derived from the weights is made again.
  const bool as_stored = path == form.path && pixels_abreast(form) == 1;
  std::vector<Unpacked> parts;
  for (size_t g = 1; g < stored.size(); ++g) {
    PackedB panels =
        restore_b(set, stored[g], is_float, taps / run, run * group_channels, form.group_filters());
    if (as_stored)
      form.panels.push_back(std::move(panels));
    else
      parts.push_back(unpack_b(stored[g]));
  }
  return as_stored ? form : repack(set, form, parts);
}

}  // namespace pycompress
