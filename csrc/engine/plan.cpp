#include "engine/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "engine/arena.h"
#include "engine/batch.h"
#include "engine/program.h"

namespace pycompress {

Plan::Plan() = default;
Plan::~Plan() = default;

size_t Plan::instances() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return all_.size();
}

void Plan::set_batch(std::unique_ptr<Batch> batch) { batch_ = std::move(batch); }

Instance* Plan::take() {
  static const size_t most = std::max<size_t>(4, std::thread::hardware_concurrency());
  std::unique_lock<std::mutex> lock(mutex_);
  returned_.wait(lock, [&] { return !idle_.empty() || all_.size() < most; });
  if (idle_.empty()) {
    // Room for giving it back is made here, so that give_back() cannot fail.
    idle_.reserve(all_.size() + 1);
    all_.push_back(std::make_unique<Instance>(*this));
    return all_.back().get();
  }
  Instance* instance = idle_.back();
  idle_.pop_back();
  return instance;
}

void Plan::give_back(Instance* instance) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(instance);
  }
  returned_.notify_one();
}

Instance::Instance(const Plan& plan)
    : plan_(plan), memory_(plan.arena_bytes_ + plan.persistent_bytes_ + kSlack) {
  uint8_t* base = memory_.data();
  std::memset(base + plan.arena_bytes_, 0, plan.persistent_bytes_);
  for (const PlannedValue& value : plan.values_) {
    Tensor tensor;
    tensor.dtype = value.dtype;
    tensor.shape = value.shape;
    tensor.slack = value.place.slack;
    if (value.place.kind == Place::Kind::constant) tensor.data = value.place.data;
    if (value.place.kind == Place::Kind::arena) tensor.data = base + value.place.index;
    tensors_.push_back(tensor);
  }
  size_t count = 0;
  for (const Step& step : plan.steps_) count += step.inputs.size() + step.outputs.size();
  pointers_.reserve(count);
  for (const Step& step : plan.steps_) {
    RunContext context;
    context.set_ = plan.set_;
    context.pool_ = plan.pool_;
    context.input_count_ = static_cast<int>(step.inputs.size());
    context.output_count_ = static_cast<int>(step.outputs.size());
    context.inputs_ = pointers_.data() + pointers_.size();
    for (int id : step.inputs)
      pointers_.push_back(id < 0 ? nullptr : &tensors_[static_cast<size_t>(id)]);
    context.outputs_ = pointers_.data() + pointers_.size();
    for (int id : step.outputs) pointers_.push_back(&tensors_[static_cast<size_t>(id)]);
    context.scratch_ = base + step.scratch;
    context.persistent_ = base + plan.arena_bytes_ + step.persistent;
    context.state_ = step.state.get();
    contexts_.push_back(context);
  }
}

void Instance::split(bool over_pool) {
  if (split_ == over_pool) return;
  split_ = over_pool;
  for (RunContext& context : contexts_) context.pool_ = over_pool ? plan_.pool_ : nullptr;
}

void Instance::poison() { std::memset(memory_.data(), 0xff, plan_.arena_bytes_); }

void* Instance::place_of(int value, const std::vector<void*>& outputs) const {
  const Place& place = plan_.values_[static_cast<size_t>(value)].place;
  return place.kind == Place::Kind::output ? outputs[place.index]
                                           : tensors_[static_cast<size_t>(value)].data;
}

void Instance::run(const std::vector<void*>& inputs, const std::vector<void*>& outputs,
                   bool profiling) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Place& place = plan_.values_[i].place;
    if (place.kind == Place::Kind::input) tensors_[i].data = inputs[place.index];
    if (place.kind == Place::Kind::output) tensors_[i].data = outputs[place.index];
  }
  for (size_t i = 0; i < contexts_.size(); ++i) {
    ProgramNode& node = *plan_.steps_[i].node;
    const auto start =
        profiling ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
    try {
      node.op->run(contexts_[i]);
    } catch (const std::invalid_argument& e) {
      fail(node.title() + ": " + e.what());
    }
    if (!profiling) continue;
    const auto nanoseconds = [](std::chrono::steady_clock::duration time) {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    };
    const auto spent = std::chrono::steady_clock::now() - start;
    const std::vector<int>& made = plan_.steps_[i].outputs;
    const bool has_first = !made.empty() && made[0] >= 0;
    node.clock.add(nanoseconds(start.time_since_epoch()), nanoseconds(spent),
                   has_first ? tensors_[static_cast<size_t>(made[0])].shape : Shape{});
  }
  for (const OutputCopy& copy : plan_.copies_) {
    const Tensor& tensor = tensors_[static_cast<size_t>(copy.value)];
    if (tensor.elements() > 0) std::memcpy(outputs[copy.output], tensor.data, tensor.bytes());
  }
}

void run_instance(Plan* plan, Instance* instance, ThreadPool* pool,
                  const std::vector<void*>& inputs, const std::vector<void*>& outputs,
                  bool profiling) {
  if (pool == nullptr || pool->size() == 1) return instance->run(inputs, outputs, profiling);
  const bool split = plan->threads().splits();
  instance->split(split);
  const auto start = std::chrono::steady_clock::now();
  instance->run(inputs, outputs, profiling);
  const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - start;
  if (!profiling) plan->threads().took(split, spent.count());
}

void run_plan(const std::shared_ptr<Plan>& plan, ThreadPool* pool, const std::vector<void*>& inputs,
              const std::vector<void*>& outputs, bool profiling, bool poison) {
  if (plan->batch() != nullptr) return plan->batch()->run(pool, inputs, outputs, profiling, poison);
  const Lease lease(plan);
  if (poison) lease->poison();
  run_instance(plan.get(), lease.get(), pool, inputs, outputs, profiling);
}

}  // namespace pycompress
