// A pool of threads that look for the next job for a moment and then sleep: a pool that goes on
// spinning takes milliseconds from its neighbours on a shared core. After fork() the child starts
// its own threads at the first job.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

namespace pycompress {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // counts the caller; 1 = no threads at all
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls fn(context, task, worker) for task = 0..tasks-1, worker in [0, size()); returns when all
  // are done. Each worker begins with a share of its own, neighbours in their order. Jobs from
  // several threads take turns; a job started inside a task runs alone in that task. The first
  // exception thrown by a task is rethrown here.
  void run(int64_t tasks, void (*fn)(void* context, int64_t task, int worker), void* context);

 private:
  struct State;
  State& state();

  std::atomic<State*> state_{nullptr};  // the threads, started at the first job of this process
  int size_;
};

// body(task, worker). A null pool, one task or one thread: a plain loop.
template <typename Body>
void parallel_for(ThreadPool* pool, int64_t tasks, const Body& body) {
  if (pool == nullptr || pool->size() == 1 || tasks <= 1) {
    for (int64_t i = 0; i < tasks; ++i) body(i, 0);
    return;
  }
  auto call = [](void* context, int64_t task, int worker) {
    (*static_cast<const Body*>(context))(task, worker);
  };
  pool->run(tasks, call, const_cast<Body*>(&body));
}

// The pool of the NumPy face (set_num_threads). A session has its own.
std::shared_ptr<ThreadPool> default_pool();
void set_default_threads(int threads);
int default_threads();

}  // namespace pycompress
