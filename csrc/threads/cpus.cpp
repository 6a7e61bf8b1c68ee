#include "threads/cpus.h"

#include <algorithm>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace pycompress {

#if defined(__linux__)

struct KeepOff::Allowed {
  cpu_set_t set;
};

int usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int this_cpu() { return sched_getcpu(); }

KeepOff::KeepOff(Handle thread, int cpu) : thread_(thread) {
  auto allowed = std::make_unique<Allowed>();
  cpu_set_t& set = allowed->set;
  if (pthread_getaffinity_np(thread, sizeof(set), &set) != 0) return;
  if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &set) || CPU_COUNT(&set) < 2) return;
  cpu_set_t others = set;
  CPU_CLR(cpu, &others);
  if (pthread_setaffinity_np(thread, sizeof(others), &others) == 0) allowed_ = std::move(allowed);
}

KeepOff::~KeepOff() {
  if (allowed_) pthread_setaffinity_np(thread_, sizeof(allowed_->set), &allowed_->set);
}

void leave_cpu(int cpu) { const KeepOff elsewhere(pthread_self(), cpu); }

#else

struct KeepOff::Allowed {};

int usable_cpus() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }
int this_cpu() { return -1; }
KeepOff::KeepOff(Handle thread, int) : thread_(thread) {}
KeepOff::~KeepOff() = default;
void leave_cpu(int) {}

#endif

KeepOff::KeepOff(KeepOff&& other) noexcept = default;

}  // namespace pycompress
