#include "onnx/wire.h"

#include <stdexcept>
#include <string>

namespace pycompress::onnx {
namespace {

constexpr int kLongest = 10;  // bytes of a 64-bit number, 7 bits in each

}  // namespace

void Cursor::fail(const char* what, size_t at) const {
  throw std::invalid_argument(std::string(what) + " at byte " + std::to_string(at));
}

uint64_t Cursor::varint() {
  uint64_t value = 0;
  const size_t start = at_;
  for (int i = 0; i < kLongest && at_ < end_; ++i) {
    const uint64_t byte = file_[at_++];
    value |= (byte & 0x7F) << (7 * i);
    if (byte < 0x80) return value;
  }
  fail("truncated or not an ONNX model: no end of a number", start);
}

uint64_t Cursor::fixed(size_t bytes) {
  if (end_ - at_ < bytes) fail("truncated: a field", at_);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(file_[at_ + i]) << (8 * i);
  at_ += bytes;
  return value;
}

Field Cursor::next() {
  const size_t tag = at_;
  const uint64_t key = varint();
  Field field{static_cast<uint32_t>(key >> 3), static_cast<Wire>(key & 7), 0, at_, at_};
  if (field.number == 0 || key >> 32 != 0) fail("not an ONNX model: an impossible field", tag);
  switch (field.wire) {
    case Wire::kVarint:
      field.value = varint();
      break;
    case Wire::kFixed64:
      field.value = fixed(8);
      break;
    case Wire::kFixed32:
      field.value = fixed(4);
      break;
    case Wire::kBytes: {
      const uint64_t length = varint();
      if (length > end_ - at_) fail("truncated: a field that is longer than what is left", tag);
      field.begin = at_;
      at_ += static_cast<size_t>(length);
      break;
    }
    default:
      fail("not an ONNX model: an impossible wire type", tag);
  }
  field.end = at_;
  return field;
}

}  // namespace pycompress::onnx
