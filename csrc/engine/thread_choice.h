// Whether a plan's runs are split over the pool, or are faster without: where nodes are small,
// waiting for each other, and reading what lies in another core's cache, may take longer than is
// saved, and by how much is a matter of the machine and of what else runs on it. So both ways are
// timed. The answers are the same bits.
//
//   trial   a few runs the way that was faster, split at first, as many the other way, and both
//           again; the first after a change is not counted, and of the others neither the quickest
//           nor the slowest of each way: one that found everything at its best, or was held up
//   hold    many runs the faster way, twice as many as the last time where nothing has changed, but
//           no longer than seconds: which way is faster changes with what else the machine does
//
// What takes long is split.
#pragma once
#include <cstdint>
#include <limits>
#include <mutex>

namespace pycompress {

class ThreadChoice {
 public:
  // Whether the next run is to be split; took() says how long it was.
  bool splits() const;
  void took(bool split, int64_t nanoseconds);

 private:
  // Of the runs that count.
  struct Times {
    int64_t sum = 0, longest = 0;
    int64_t best = std::numeric_limits<int64_t>::max();
    int64_t count = 0;
    void add(int64_t nanoseconds);
    double middle() const;
  };
  bool in_other_block() const;
  bool splits_now() const { return split_ != in_other_block(); }
  void tried(bool split, int64_t nanoseconds);
  void held(int64_t nanoseconds);
  void decide(bool other_is_faster);

  static constexpr int64_t kLeastHold = 128;
  static constexpr int64_t kLeastHeld = 100'000'000;  // ns

  mutable std::mutex mutex_;
  bool trial_ = true;
  bool split_ = true;  // the way that is, or was, faster
  int64_t runs_ = 0;   // of this trial, or since the last one
  int64_t held_ = 0;   // ns
  int64_t hold_ = kLeastHold;
  int64_t longest_ = kLeastHeld;
  Times times_[2];  // alone, split
};

}  // namespace pycompress
