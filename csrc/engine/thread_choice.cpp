#include "engine/thread_choice.h"

#include <algorithm>

namespace pycompress {
namespace {

constexpr int64_t kCounted = 3;  // runs each way
constexpr int64_t kMostHold = 1 << 16;
constexpr int64_t kLong = 50'000'000;      // ns of a run that is always split
constexpr int64_t kAlone = 1'000'000'000;  // ns on one thread until the others are tried again
constexpr double kClearly = 1.5;
constexpr double kWorthSplitting = 1.03;  // what it has to gain: a second core is not free

}  // namespace

bool ThreadChoice::splits() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stage_ == Stage::other ? !split_ : split_;
}

void ThreadChoice::enter(Stage stage) {
  stage_ = stage;
  runs_ = held_ = 0;
}

void ThreadChoice::decide(bool other_is_faster) {
  if (other_is_faster) {
    split_ = !split_;
    hold_ = kLeastHold;
  } else {
    hold_ = std::min(2 * hold_, kMostHold);
  }
  enter(Stage::hold);
}

void ThreadChoice::took(bool split, int64_t nanoseconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Runs of several callers at once: one that began before the last decision says nothing.
  if (split != (stage_ == Stage::other ? !split_ : split_)) return;
  ++runs_;
  if (stage_ == Stage::hold) {
    held_ += nanoseconds;
    if (runs_ < hold_ && (split_ || held_ < kAlone)) return;
    enter(Stage::current);
    current_time_ = other_time_ = 0;
    return;
  }
  const bool counts = runs_ > 1;
  if (stage_ == Stage::current) {
    if (counts) current_time_ += nanoseconds;
    if (runs_ <= kCounted) return;
    if (split_ && current_time_ > kCounted * kLong) return decide(false);
    return enter(Stage::other);
  }
  if (counts) other_time_ += nanoseconds;
  const auto first = kClearly * static_cast<double>(current_time_) / kCounted;
  if (!counts && static_cast<double>(nanoseconds) > first) return decide(false);
  if (runs_ <= kCounted) return;
  const auto current = static_cast<double>(current_time_);
  const auto other = static_cast<double>(other_time_);
  decide(split_ ? other < kWorthSplitting * current : kWorthSplitting * other < current);
}

}  // namespace pycompress
