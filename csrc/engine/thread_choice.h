// Whether a plan's runs are split over the pool, or are faster without: where nodes are small,
// waiting for each other, and reading what lies in another core's cache, may take longer than is
// saved, and by how much is a matter of the machine and of what else runs on it. So both ways are
// timed. The answers are the same bits.
//
//   trial   a few runs the way that was faster, split at first, as many the other way, and both
//           again; the first after a change is not counted. Other work on the machine only ever
//           adds to a run: the quickest of each way are what counts.
//   hold    many runs the faster way, twice as many as the last time where nothing has changed
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
  // The quickest two of the runs that count.
  struct Times {
    int64_t best = std::numeric_limits<int64_t>::max() / 2;
    int64_t second = best;
    void add(int64_t nanoseconds);
    double mean() const { return 0.5 * static_cast<double>(best + second); }
  };
  bool in_other_block() const;
  bool splits_now() const { return split_ != in_other_block(); }
  void tried(bool split, int64_t nanoseconds);
  void held(int64_t nanoseconds);
  void decide(bool other_is_faster);

  static constexpr int64_t kLeastHold = 128;
  static constexpr int64_t kLeastAlone = 100'000'000;  // ns

  mutable std::mutex mutex_;
  bool trial_ = true;
  bool split_ = true;  // the way that is, or was, faster
  int64_t runs_ = 0;   // of this trial, or since the last one
  int64_t held_ = 0;   // ns
  int64_t hold_ = kLeastHold;
  int64_t alone_ = kLeastAlone;
  Times times_[2];  // alone, split
};

}  // namespace pycompress
