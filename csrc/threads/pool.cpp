#include "threads/pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "threads/cpus.h"

namespace pycompress {
namespace {

thread_local bool t_inside_task = false;

// How many fork() calls lie between the first process and this one. A pool whose threads were
// started under another count has none in this process.
std::atomic<int> g_forks{0};

std::mutex g_default_mutex;
std::shared_ptr<ThreadPool> g_default_pool;  // under g_default_mutex
int g_default_threads = 0;                   // 0: as many as this process may use

void watch_forks() {
#if defined(__unix__) || defined(__APPLE__)
  // The mutex is held across fork(), so that the child never finds it locked by a thread it does
  // not have.
  static const int registered =
      pthread_atfork([] { g_default_mutex.lock(); }, [] { g_default_mutex.unlock(); },
                     [] {
                       g_forks.fetch_add(1);
                       g_default_mutex.unlock();
                     });
  (void)registered;
#endif
}

// Waking a thread takes longer than many a layer, in a virtual machine up to 100 us of who wakes
// it: who waits for work, or for the last of it, looks for a while before it sleeps.
constexpr std::chrono::microseconds kLook{1000};
// And from then on it lets others have the CPU between two looks. They may keep it for
// milliseconds: not before a wait is longer than most between two layers.
constexpr std::chrono::microseconds kAlone{50};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when `ready` holds or the time is up.
template <typename Ready>
void look_for(const Ready& ready) {
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration spent{};
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return;
      relax();
    }
    spent = std::chrono::steady_clock::now() - begin;
    if (spent > kAlone) std::this_thread::yield();
  } while (spent < kLook);
}

class InsideTask {
 public:
  InsideTask() : before_(t_inside_task) { t_inside_task = true; }
  ~InsideTask() { t_inside_task = before_; }
  InsideTask(const InsideTask&) = delete;
  InsideTask& operator=(const InsideTask&) = delete;

 private:
  bool before_;
};

}  // namespace

// One generation of threads. Each has a share of every job's tasks, the same part of them: who
// computed some rows of a tensor has them in its cache, and from another core's they may come more
// slowly than from memory. `open` says that the job at hand still takes workers: the caller
// closes it when the tasks have run out, so it never waits for a thread that did not wake up in
// time.
//
// A job begins and ends without a lock: who looks while another one holds it would go to sleep for
// it. The mutex is for those that sleep, and each side says that it may be asleep before it looks a
// last time; all of this is sequentially consistent, so one of the two sees the other.
struct ThreadPool::State {
  // Where threads share CPUs, one that looks keeps another from working.
  explicit State(int size)
      : forks(g_forks.load()), looks(usable_cpus() >= size), shares(static_cast<size_t>(size)) {
    try {
      for (int worker = 1; worker < size; ++worker)
        threads.emplace_back([this, worker] { serve(worker); });
    } catch (...) {
      stop();
      throw;
    }
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  // The gate: the job's number, whether it is open, and how many work on it.
  static constexpr uint64_t kOne = 1, kOpen = uint64_t{1} << 16, kJob = kOpen << 1;
  static constexpr uint64_t working(uint64_t gate) { return gate % kOpen; }
  static constexpr bool is_new(uint64_t gate, uint64_t seen) {
    return (gate & kOpen) != 0 && gate / kJob != seen;
  }

  // Joins a job that it has not seen yet, if there is one.
  bool join(uint64_t* seen) {
    uint64_t now = gate.load();
    while (is_new(now, *seen)) {
      if (!gate.compare_exchange_weak(now, now + kOne)) continue;
      *seen = now / kJob;
      return true;
    }
    return false;
  }

  void serve(int worker) {
    uint64_t seen = 0;
    for (;;) {
      const auto ready = [&] { return is_new(gate.load(), seen) || stopping.load(); };
      if (looks) look_for(ready);
      if (!ready()) {
        std::unique_lock<std::mutex> lock(mutex);
        ++asleep;
        wake.wait(lock, ready);
        --asleep;
      }
      if (stopping.load()) return;
      if (looks) keep_off_caller(worker);
      if (!join(&seen)) continue;
      work(worker);
      const uint64_t before = gate.fetch_sub(kOne);
      if (working(before) != 1 || (before & kOpen) != 0 || !waits.load()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      done.notify_one();
    }
  }

  // Two threads of one job on one CPU take as long as one, and the scheduler may leave them there
  // for many jobs, where another program has the other CPU.
  void keep_off_caller(int worker) {
    const int here = this_cpu();
    shares[static_cast<size_t>(worker)].cpu.store(here, std::memory_order_relaxed);
    if (here >= 0 && here == caller_cpu.load(std::memory_order_relaxed)) leave_cpu(here);
  }

  void wake_workers(int64_t most) {
    // Who sleeps where the caller runs now would wait there for the caller's time to be up.
    std::vector<KeepOff> elsewhere;
    const int here = caller_cpu.load(std::memory_order_relaxed);
    for (size_t i = 0; looks && here >= 0 && i < threads.size(); ++i) {
      if (shares[i + 1].cpu.load(std::memory_order_relaxed) == here)
        elsewhere.emplace_back(threads[i].native_handle(), here);
    }
    const std::lock_guard<std::mutex> lock(mutex);
    if (most >= static_cast<int64_t>(threads.size())) {
      wake.notify_all();
    } else {
      for (int64_t i = 0; i < most; ++i) wake.notify_one();
    }
  }

  // Takes tasks until there are none: its own, then what others have not come to. After an
  // exception nobody takes another one.
  void work(int worker) {
    const InsideTask inside;
    const size_t count = shares.size();
    try {
      for (size_t i = 0; i < count; ++i) {
        Share& share = shares[(static_cast<size_t>(worker) + i) % count];
        for (int64_t task = share.next.fetch_add(1); task < share.end;
             task = share.next.fetch_add(1))
          fn(context, task, worker);
      }
    } catch (...) {
      for (Share& share : shares) share.next.store(share.end);
      const std::lock_guard<std::mutex> lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  void run(int64_t count, void (*body)(void*, int64_t, int), void* data) {
    const std::lock_guard<std::mutex> my_turn(turn);
    fn = body;
    context = data;
    caller_cpu.store(this_cpu(), std::memory_order_relaxed);
    const auto size = static_cast<int64_t>(shares.size());
    for (int64_t i = 0; i < size; ++i) {
      Share& share = shares[static_cast<size_t>(i)];
      share.next.store((i * count + size - 1) / size);
      share.end = ((i + 1) * count + size - 1) / size;
    }
    gate.store((gate.load() / kJob + 1) * kJob + kOpen);  // nobody works: the last job is done
    if (asleep.load() > 0) wake_workers(count - 1);
    work(0);
    gate.fetch_sub(kOpen);
    const auto over = [&] { return working(gate.load()) == 0; };
    if (looks) look_for(over);
    if (!over()) {
      std::unique_lock<std::mutex> lock(mutex);
      waits.store(true);
      done.wait(lock, over);
      waits.store(false);
    }
    if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
  }

  const int forks;
  const bool looks;
  std::mutex turn;  // held for a whole job: jobs take turns
  std::mutex mutex;
  std::condition_variable wake, done;
  std::atomic<uint64_t> gate{0};
  std::atomic<int> asleep{0};      // workers that may sleep
  std::atomic<bool> waits{false};  // the caller may sleep
  std::atomic<bool> stopping{false};
  // What follows stays as it is while a job has workers.
  void (*fn)(void*, int64_t, int) = nullptr;
  void* context = nullptr;
  std::atomic<int> caller_cpu{-1};
  // Tasks next..end-1 of each worker, and where it was seen last, on a line of the cache of its
  // own.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    std::atomic<int> cpu{-1};
  };
  std::vector<Share> shares;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
};

ThreadPool::ThreadPool(int threads) : size_(threads) {
  if (threads < 1) {
    throw std::invalid_argument("threads must be at least 1, got " + std::to_string(threads));
  }
  watch_forks();
}

ThreadPool::~ThreadPool() {
  State* state = state_.load();
  // After a fork the threads of the parent's state do not exist and its locks are in an unknown
  // state: leave it.
  if (state == nullptr || state->forks != g_forks.load()) return;
  state->stop();
  delete state;
}

int ThreadPool::size() const { return size_; }

ThreadPool::State& ThreadPool::state() {
  State* found = state_.load(std::memory_order_acquire);
  if (found != nullptr && found->forks == g_forks.load(std::memory_order_relaxed)) return *found;
  State* fresh = new State(size_);
  if (state_.compare_exchange_strong(found, fresh)) return *fresh;
  fresh->stop();  // another thread was first
  delete fresh;
  return *found;
}

void ThreadPool::run(int64_t tasks, void (*fn)(void* context, int64_t task, int worker),
                     void* context) {
  if (tasks <= 0) return;
  if (size_ == 1 || tasks == 1 || t_inside_task) {
    for (int64_t task = 0; task < tasks; ++task) fn(context, task, 0);
    return;
  }
  state().run(tasks, fn, context);
}

std::shared_ptr<ThreadPool> default_pool() {
  watch_forks();
  const std::lock_guard<std::mutex> lock(g_default_mutex);
  if (!g_default_pool) {
    if (g_default_threads == 0) g_default_threads = usable_cpus();
    g_default_pool = std::make_shared<ThreadPool>(g_default_threads);
  }
  return g_default_pool;
}

void set_default_threads(int threads) {
  auto pool = std::make_shared<ThreadPool>(threads);
  std::shared_ptr<ThreadPool> old;  // destroyed, and its threads joined, outside the lock
  const std::lock_guard<std::mutex> lock(g_default_mutex);
  g_default_threads = threads;
  old = std::exchange(g_default_pool, std::move(pool));
}

int default_threads() { return default_pool()->size(); }

}  // namespace pycompress
