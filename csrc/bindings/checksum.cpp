// A checksum of a file's bytes, as fast as they can be read.
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pycompress {
namespace {

constexpr int kLanes = 8;
constexpr uint64_t kPrime = 0x9E3779B185EBCA87;  // odd, so that multiplying loses nothing

// Each word goes through xor, rotation and an odd factor, all of which can be undone: one changed
// word changes its lane's state for good. Lanes are independent, so that the multiplier is kept
// busy.
uint64_t checksum(const uint8_t* data, size_t bytes) {
  uint64_t lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = static_cast<uint64_t>(i + 1) * kPrime;
  const auto mix = [](uint64_t state, uint64_t word) {
    state ^= word;
    return (state << 29 | state >> 35) * kPrime;
  };
  size_t at = 0;
  for (; at + sizeof(lanes) <= bytes; at += sizeof(lanes)) {
    uint64_t words[kLanes];
    std::memcpy(words, data + at, sizeof(words));
    for (int i = 0; i < kLanes; ++i) lanes[i] = mix(lanes[i], words[i]);
  }
  uint64_t sum = bytes;
  for (const uint64_t lane : lanes) sum = mix(sum, lane);
  for (; at < bytes; ++at) sum = mix(sum, data[at]);
  return sum;
}

}  // namespace

void bind_checksum(pybind11::module_& module) {
  module.def(
      "checksum",
      [](const pybind11::array& bytes) {
        const auto* data = need<uint8_t>("bytes", bytes);
        const auto size = static_cast<size_t>(bytes.size());
        const pybind11::gil_scoped_release nogil;
        return checksum(data, size);
      },
      pybind11::arg("bytes"), "64 bits that change with any bit of `bytes` (uint8).");
}

}  // namespace pycompress
