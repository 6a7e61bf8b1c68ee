// Which CPUs this process may use, and on which of them its threads run.
#pragma once
#include <memory>
#include <thread>

namespace pycompress {

int usable_cpus();  // at least 1
int this_cpu();     // -1 where that is not known

// Until it is destroyed, a thread does not begin to run on one CPU, where it may use others.
class KeepOff {
 public:
  using Handle = std::thread::native_handle_type;
  KeepOff(Handle thread, int cpu);
  ~KeepOff();
  KeepOff(KeepOff&& other) noexcept;
  KeepOff(const KeepOff&) = delete;
  KeepOff& operator=(const KeepOff&) = delete;
  KeepOff& operator=(KeepOff&&) = delete;

 private:
  struct Allowed;  // the CPUs that it may use otherwise
  Handle thread_;
  std::unique_ptr<Allowed> allowed_;  // null: nothing was changed
};

// The calling thread moves to another CPU that it may use, if there is one; it may come back.
void leave_cpu(int cpu);

}  // namespace pycompress
