#include "limits/measure.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

#include "threads/huge_pages.h"

namespace pycompress {
namespace {

using Sweep = void (*)(const uint8_t* x, int64_t bytes, uint8_t* y);

// The loops of a set: never none.
std::vector<const LimitLoops*> find_loops(const std::string& isa) {
  std::vector<const LimitLoops*> found;
  std::string names;
  for (const LimitRow* row : available_limits()) {
    if (isa == row->isa) found.push_back(row->loops);
    names += (names.empty() ? "" : ", ") + std::string(row->isa);
  }
  if (!found.empty()) return found;
  throw std::invalid_argument("limits: instruction set '" + isa +
                              "' is not available on this CPU; available: " + names);
}

Sweep find_sweep(const std::string& isa, const std::string& kind) {
  for (const LimitLoops* loops : find_loops(isa)) {
    const TrafficLoops& traffic = loops->traffic;
    Sweep found = nullptr;
    if (kind == "read") found = traffic.read;
    if (kind == "write") found = traffic.write;
    if (kind == "narrow") found = traffic.narrow;
    if (kind == "narrow_past_cache") found = traffic.narrow_past_cache;
    if (found != nullptr) return found;
  }
  throw std::invalid_argument("limits: " + isa + " has no traffic loop '" + kind + "'");
}

constexpr std::align_val_t kPage{size_t{2} << 20};
struct Free {
  void operator()(uint8_t* p) const { ::operator delete(p, kPage); }
};
using Buffer = std::unique_ptr<uint8_t, Free>;

// Large pages where the system has them: what is measured is the memory, not the page tables.
Buffer allocate(int64_t bytes) {
  constexpr auto kWhole = static_cast<size_t>(kPage);
  const size_t size = (static_cast<size_t>(bytes) + kWhole - 1) / kWhole * kWhole;
  Buffer buffer(static_cast<uint8_t*>(::operator new(size, kPage)));
#ifdef __linux__
  wish_huge_pages(buffer.get(), size);
#endif
  std::memset(buffer.get(), 1, size);
  return buffer;
}

// Seconds of `repeats` runs of body(task) on every thread at once.
template <typename Body>
std::vector<double> time_all(ThreadPool& pool, int repeats, const Body& body) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const Clock::time_point start = Clock::now();
    parallel_for(&pool, pool.size(), [&](int64_t task, int) { body(task); });
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

}  // namespace

std::vector<const LimitRow*> available_limits() {
  static const uint32_t features = cpu_features();
  std::vector<const LimitRow*> rows;
  for (const LimitRow& row : kAllLimits) {
    if ((row.needs & features) == row.needs) rows.push_back(&row);
  }
  return rows;
}

std::vector<double> time_peak(const std::string& isa, const std::string& type, int64_t passes,
                              int repeats, ThreadPool& pool) {
  for (const LimitLoops* loops : find_loops(isa)) {
    for (const PeakLoop& peak : loops->peaks) {
      if (peak.run == nullptr || type != peak.type) continue;
      return time_all(pool, repeats, [&](int64_t) { peak.run(passes); });
    }
  }
  throw std::invalid_argument("limits: " + isa + " has no peak loop for '" + type + "'");
}

std::vector<double> time_traffic(const std::string& isa, const std::string& kind, int64_t bytes,
                                 int64_t passes, int repeats, ThreadPool& pool) {
  const Sweep sweep = find_sweep(isa, kind);
  if (bytes <= 0 || bytes % kTrafficStep != 0) {
    throw std::invalid_argument("limits: bytes must be a positive multiple of " +
                                std::to_string(kTrafficStep) + ", found " + std::to_string(bytes));
  }
  std::vector<Buffer> from, to;
  for (int i = 0; i < pool.size(); ++i) {
    from.push_back(allocate(bytes));
    to.push_back(allocate(bytes));
  }
  return time_all(pool, repeats, [&](int64_t task) {
    const auto mine = static_cast<size_t>(task);
    for (int64_t i = 0; i < passes; ++i) sweep(from[mine].get(), bytes, to[mine].get());
  });
}

}  // namespace pycompress
