#include "engine/thread_choice.h"

#include <algorithm>

namespace pycompress {
namespace {

constexpr int64_t kBlock = 3;   // runs one way, of which the first is not counted
constexpr int64_t kBlocks = 4;  // both ways in turns
constexpr int64_t kMostHold = 1 << 16;
constexpr double kLong = 5e7;                 // ns of a run that is always split
constexpr int64_t kMostHeld = 2'000'000'000;  // ns one way until the other is tried again
constexpr double kClearly = 1.5;
constexpr double kWorthSplitting = 1.03;  // what it has to gain: a second core is not free

}  // namespace

void ThreadChoice::Times::add(int64_t nanoseconds) {
  sum += nanoseconds;
  longest = std::max(longest, nanoseconds);
  best = std::min(best, nanoseconds);
  ++count;
}

double ThreadChoice::Times::middle() const {
  if (count < 3) return static_cast<double>(sum) / static_cast<double>(std::max<int64_t>(1, count));
  return static_cast<double>(sum - longest - best) / static_cast<double>(count - 2);
}

bool ThreadChoice::splits() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return splits_now();
}

bool ThreadChoice::in_other_block() const { return trial_ && runs_ / kBlock % 2 == 1; }

void ThreadChoice::decide(bool other_is_faster) {
  if (other_is_faster) {
    split_ = !split_;
    hold_ = kLeastHold;
    longest_ = kLeastHeld;
  } else {
    hold_ = std::min(2 * hold_, kMostHold);
    longest_ = std::min(2 * longest_, kMostHeld);
  }
  trial_ = false;
  runs_ = held_ = 0;
}

void ThreadChoice::took(bool split, int64_t nanoseconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Runs of several callers at once: one that began before the last decision says nothing.
  if (split != splits_now()) return;
  if (trial_) {
    tried(split, nanoseconds);
  } else {
    held(nanoseconds);
  }
}

void ThreadChoice::held(int64_t nanoseconds) {
  held_ += nanoseconds;
  if (++runs_ < hold_ && held_ < longest_) return;
  trial_ = true;
  runs_ = 0;
  times_[0] = times_[1] = {};
}

void ThreadChoice::tried(bool split, int64_t nanoseconds) {
  const Times& current = times_[split_ ? 1 : 0];
  const Times& other = times_[split_ ? 0 : 1];
  if (runs_ % kBlock != 0) {
    times_[split ? 1 : 0].add(nanoseconds);
  } else if (split != split_ && static_cast<double>(nanoseconds) > kClearly * current.middle()) {
    return decide(false);
  }
  ++runs_;
  if (runs_ == kBlock && split_ && current.middle() > kLong) return decide(false);
  if (runs_ < kBlock * kBlocks) return;
  decide(split_ ? other.middle() < kWorthSplitting * current.middle()
                : other.middle() * kWorthSplitting < current.middle());
}

}  // namespace pycompress
