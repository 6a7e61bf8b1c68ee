// Runs the loops of limits.h and tells the time.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "limits/table.h"
#include "threads/pool.h"

namespace pycompress {

// Rows that this CPU can run, best first.
std::vector<const LimitRow*> available_limits();

// Seconds of each repeat, in which every thread of the pool makes `passes` passes. Throws
// std::invalid_argument that names what there is when the set has no such loop here.
std::vector<double> time_peak(const std::string& isa, const std::string& type, int64_t passes,
                              int repeats, ThreadPool& pool);

// The same for memory: each thread sweeps over its own `bytes`. kind: "read", "write", "narrow",
// "narrow_past_cache", where the latter two write another quarter of `bytes`.
std::vector<double> time_traffic(const std::string& isa, const std::string& kind, int64_t bytes,
                                 int64_t passes, int repeats, ThreadPool& pool);

}  // namespace pycompress
