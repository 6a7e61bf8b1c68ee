// The wire format of protobuf: what a file says, field by field, nothing believed.
#pragma once
#include <cstddef>
#include <cstdint>

namespace pycompress::onnx {

enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// One field of a message: `number` for a varint or a fixed one, a span of the file for the rest.
struct Field {
  uint32_t number;
  Wire wire;
  uint64_t value;
  size_t begin, end;
};

// Walks over a span of a file. Throws std::invalid_argument, with the byte, where the span is no
// message: a length that goes beyond it, a number without an end, a wire type that there is none of
// (groups are not written by anything that writes ONNX).
class Cursor {
 public:
  Cursor(const uint8_t* file, size_t begin, size_t end) : file_(file), at_(begin), end_(end) {}

  bool done() const { return at_ >= end_; }
  Field next();
  uint64_t varint();
  uint64_t fixed(size_t bytes);

 private:
  [[noreturn]] void fail(const char* what, size_t at) const;

  const uint8_t* file_;
  size_t at_, end_;
};

}  // namespace pycompress::onnx
