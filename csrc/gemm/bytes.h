// How a tile's row of bytes is stored: an argument of Columns<V>::store_bytes() on every set.
#pragma once
#include <stdint.h>

namespace pycompress {
namespace {

struct Bytes {
  bool is_signed;
  int32_t zero;       // to be added
  int32_t low, high;  // the ends of the type, or closer bounds
};

}  // namespace
}  // namespace pycompress
