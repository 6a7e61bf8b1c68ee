// Where buffers lie in one block of memory, so that those that are never alive together share it.
#pragma once
#include <cstddef>
#include <vector>

namespace pycompress {

constexpr size_t kAlignment = 64;
constexpr size_t kSlack = 64;  // bytes behind every buffer that may be read

struct ArenaRequest {
  size_t bytes = 0;
  int first = 0;  // alive from this step
  int last = 0;   // up to and including this one
  size_t offset = 0;
};

// Sets every request's offset and returns the size of the block. The largest are placed first, each
// in the smallest gap between those that are alive at the same time.
size_t place_buffers(std::vector<ArenaRequest>* requests);

// bytes with slack, rounded up to the alignment.
size_t padded_size(size_t bytes);

}  // namespace pycompress
