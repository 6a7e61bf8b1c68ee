#include "engine/thread_choice.h"

#include <algorithm>

namespace pycompress {
namespace {

constexpr int64_t kCounted = 5;  // runs each way, of which the longest is left out
constexpr int64_t kMostHold = 1 << 16;
constexpr double kLong = 5e7;                  // ns of a run that is always split
constexpr int64_t kMostAlone = 2'000'000'000;  // ns on one thread until the others are tried again
constexpr double kClearly = 1.5;
constexpr double kWorthSplitting = 1.03;  // what it has to gain: a second core is not free

}  // namespace

double ThreadChoice::Times::mean() const {
  return static_cast<double>(sum - longest) / (kCounted - 1);
}

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
    alone_ = kLeastAlone;
  } else {
    hold_ = std::min(2 * hold_, kMostHold);
    alone_ = std::min(2 * alone_, kMostAlone);
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
    if (runs_ < hold_ && (split_ || held_ < alone_)) return;
    enter(Stage::current);
    current_ = other_ = {};
    return;
  }
  const bool counts = runs_ > 1;
  if (stage_ == Stage::current) {
    if (counts) current_.add(nanoseconds);
    if (runs_ <= kCounted) return;
    if (split_ && current_.mean() > kLong) return decide(false);
    return enter(Stage::other);
  }
  if (counts) other_.add(nanoseconds);
  if (!counts && static_cast<double>(nanoseconds) > kClearly * current_.mean())
    return decide(false);
  if (runs_ <= kCounted) return;
  const double current = current_.mean();
  const double other = other_.mean();
  decide(split_ ? other < kWorthSplitting * current : kWorthSplitting * other < current);
}

}  // namespace pycompress
