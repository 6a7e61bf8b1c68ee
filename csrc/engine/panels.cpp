#include "engine/panels.h"

#include <memory>
#include <utility>
#include <vector>

namespace pycompress {
namespace {

struct Kept {
  std::vector<std::unique_ptr<PackedB>> panels;
  size_t next = 0;  // whose place is given away next
};

}  // namespace

PackedB& reusable_panels(const KernelSet& set, bool is_float, int64_t k, int64_t n,
                         PanelSide side) {
  constexpr size_t kKept = 8;
  thread_local Kept sides[2];
  Kept& kept = sides[static_cast<size_t>(side)];
  for (auto& packed : kept.panels) {
    if (packed->set == &set && packed->is_float == is_float && packed->k == k && packed->n == n)
      return *packed;
  }
  auto fresh = std::make_unique<PackedB>(empty_b(set, is_float, 1, k, n));
  if (kept.panels.size() < kKept) {
    kept.panels.push_back(std::move(fresh));
    return *kept.panels.back();
  }
  kept.next = (kept.next + 1) % kKept;
  kept.panels[kept.next] = std::move(fresh);
  return *kept.panels[kept.next];
}

}  // namespace pycompress
