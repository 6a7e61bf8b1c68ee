// Where a node's constructor gets its packed weights: packed now and noted for a plan file, or
// taken from one, in the same order.
#pragma once
#include <utility>
#include <vector>

#include "bf16/stored.h"
#include "conv/stored.h"
#include "engine/tensor.h"
#include "gemm/stored.h"
#include "int4/stored.h"

namespace pycompress {

class PackStore {
 public:
  PackStore() = default;
  explicit PackStore(std::vector<Stored> from) : restores_(true), from_(std::move(from)) {}

  bool restores() const { return restores_; }

  // make() packs the weights; it is not called when they are there already.
  template <typename Make>
  PackedB matrix(const KernelSet& set, bool is_float, int64_t taps, int64_t k, int64_t n,
                 const Make& make) {
    PackedB packed = restores_ ? restore_b(set, take(1)[0], is_float, taps, k, n) : PackedB(make());
    kept_.push_back(store_b(packed));
    return packed;
  }

  template <typename Make>
  PackedBf16 bf16(const KernelSet& set, int64_t taps, int64_t k, int64_t n, const Make& make) {
    PackedBf16 packed = restores_ ? restore_bf16(set, take(1)[0], taps, k, n) : PackedBf16(make());
    kept_.push_back(store_bf16(packed));
    return packed;
  }

  template <typename Make>
  PackedInt4 int4(const KernelSet& set, int64_t k, int64_t n, int64_t block, bool zeros,
                  const Make& make) {
    PackedInt4 packed =
        restores_ ? restore_int4(set, take(1)[0], k, n, block, zeros) : PackedInt4(make());
    kept_.push_back(store_int4(packed));
    return packed;
  }

  template <typename Make>
  PackedConv convolution(const KernelSet& set, bool is_float, int64_t filters,
                         int64_t group_channels, int64_t groups, const Window& window,
                         const Make& make) {
    PackedConv packed = restores_ ? restore_conv(set, take(from_.size()), is_float, filters,
                                                 group_channels, groups, window)
                                  : PackedConv(make());
    for (Stored& part : store_conv(packed)) kept_.push_back(std::move(part));
    return packed;
  }

  // What the node holds; valid as long as its operator.
  const std::vector<Stored>& kept() const { return kept_; }

  void check_all_taken() const {
    if (restores_ && taken_ != from_.size()) fail("more weights are stored than the operator has");
  }

 private:
  std::vector<Stored> take(size_t count) {
    if (taken_ + count > from_.size()) fail("fewer weights are stored than the operator has");
    const auto first = from_.begin() + static_cast<std::ptrdiff_t>(taken_);
    taken_ += count;
    return {first, first + static_cast<std::ptrdiff_t>(count)};
  }

  bool restores_ = false;
  std::vector<Stored> from_;
  size_t taken_ = 0;
  std::vector<Stored> kept_;
};

}  // namespace pycompress
