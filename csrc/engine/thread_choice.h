// Whether a plan's runs are split over the pool, or are faster without: where nodes are small,
// waiting for each other, and reading what lies in another core's cache, may take longer than is
// saved, and by how much is a matter of the machine and of what else runs on it. So both ways are
// timed. The answers are the same bits.
//
//   current   a few runs the way that was faster, split at first; the first is not counted
//   other     as many the other way, but no more than one where that is clearly slower
//   hold      many runs the faster way, twice as many as the last time where nothing has changed
//
// What takes long is split.
#pragma once
#include <cstdint>
#include <mutex>

namespace pycompress {

class ThreadChoice {
 public:
  // Whether the next run is to be split; took() says how long it was.
  bool splits() const;
  void took(bool split, int64_t nanoseconds);

 private:
  enum class Stage { current, other, hold };
  // Of the runs that count: what one of them was held up by says nothing.
  struct Times {
    int64_t sum = 0, longest = 0;
    void add(int64_t nanoseconds) {
      sum += nanoseconds;
      longest = longest > nanoseconds ? longest : nanoseconds;
    }
    double mean() const;
  };
  void enter(Stage stage);
  void decide(bool other_is_faster);

  static constexpr int64_t kLeastHold = 128;
  static constexpr int64_t kLeastAlone = 100'000'000;  // ns

  mutable std::mutex mutex_;
  Stage stage_ = Stage::current;
  bool split_ = true;  // the way that is, or was, faster
  int64_t runs_ = 0;   // of this stage
  int64_t held_ = 0;   // ns
  int64_t hold_ = kLeastHold;
  int64_t alone_ = kLeastAlone;
  Times current_, other_;
};

}  // namespace pycompress
