#include "engine/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace pycompress {

size_t padded_size(size_t bytes) {
  return (bytes + kSlack + kAlignment - 1) / kAlignment * kAlignment;
}

size_t place_buffers(std::vector<ArenaRequest>* requests) {
  std::vector<ArenaRequest>& all = *requests;
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return all[a].bytes > all[b].bytes; });
  std::vector<size_t> placed;  // by offset
  size_t total = 0;
  for (size_t index : order) {
    ArenaRequest& wanted = all[index];
    const size_t size = padded_size(wanted.bytes);
    size_t end = 0;  // of the neighbours seen so far
    size_t best = std::numeric_limits<size_t>::max();
    size_t best_gap = std::numeric_limits<size_t>::max();
    for (size_t other : placed) {
      const ArenaRequest& neighbour = all[other];
      if (neighbour.last < wanted.first || wanted.last < neighbour.first) continue;
      if (neighbour.offset > end && neighbour.offset - end >= size &&
          neighbour.offset - end < best_gap) {
        best = end;
        best_gap = neighbour.offset - end;
      }
      end = std::max(end, neighbour.offset + padded_size(neighbour.bytes));
    }
    wanted.offset = best_gap == std::numeric_limits<size_t>::max() ? end : best;
    total = std::max(total, wanted.offset + size);
    const auto at =
        std::upper_bound(placed.begin(), placed.end(), wanted.offset,
                         [&](size_t offset, size_t i) { return offset < all[i].offset; });
    placed.insert(at, index);
  }
  return total;
}

}  // namespace pycompress
