#include "engine/program.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/batch.h"
#include "engine/plan.h"

namespace pycompress {
namespace {

constexpr size_t kPlans = 8;

// Two sets of inputs with the same key can share a plan.
std::string plan_key(const std::vector<ProgramValue>& values, const std::vector<int>& ids,
                     const std::vector<Tensor>& inputs) {
  std::string key;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = inputs[i].shape;
    key.push_back(static_cast<char>(shape.rank()));
    key.append(reinterpret_cast<const char*>(shape.begin()),
               static_cast<size_t>(shape.rank()) * sizeof(int64_t));
    if (values[static_cast<size_t>(ids[i])].by_value) {
      key.append(static_cast<const char*>(inputs[i].data), inputs[i].bytes());
    }
  }
  return key;
}

}  // namespace

Program::Program(const KernelSet& set, int threads) : set_(set), pool_(threads) {}
Program::~Program() = default;

void Program::need_building() const {
  if (finished_) fail("the program is finished; nothing can be added");
}

int Program::constant(const Tensor& tensor, std::shared_ptr<void> owner) {
  need_building();
  tensor.shape.check();
  ProgramValue value;
  value.kind = ProgramValue::Kind::constant;
  value.tensor = tensor;
  value.owner = std::move(owner);
  values_.push_back(std::move(value));
  return static_cast<int>(values_.size()) - 1;
}

int Program::input(const std::string& name, DType dtype, bool by_value) {
  need_building();
  ProgramValue value;
  value.kind = ProgramValue::Kind::input;
  value.tensor.dtype = dtype;
  value.name = name;
  value.by_value = by_value;
  values_.push_back(std::move(value));
  inputs_.push_back(static_cast<int>(values_.size()) - 1);
  return inputs_.back();
}

std::vector<int> Program::add(const std::string& op, const std::string& name,
                              const std::vector<int>& inputs, int outputs, const Attrs& attrs,
                              PackStore weights) {
  need_building();
  auto node = std::make_unique<ProgramNode>();
  node->weights = std::move(weights);
  node->index = added_++;
  node->entry = find_op(op);
  if (node->entry == nullptr) fail("unknown operator " + op + " of node '" + name + "'");
  node->name = name;
  node->inputs = inputs;
  for (const auto& [key, value] : attrs) {
    const auto* array = std::get_if<AttrArray>(&value);
    if (array == nullptr || array->dtype == DType::s64) node->attrs.emplace(key, value);
  }
  while (!node->inputs.empty() && node->inputs.back() == -1) node->inputs.pop_back();
  const auto count = static_cast<int>(node->inputs.size());
  const auto wrong = [&](const std::string& message) { fail(node->title() + ": " + message); };
  if (count < node->entry->min_inputs || count > node->entry->max_inputs) {
    const std::string most =
        node->entry->max_inputs == kMany ? "more" : str(node->entry->max_inputs);
    wrong("takes " + str(node->entry->min_inputs) + " to " + most + " inputs, found " + str(count));
  }
  if (outputs < 1 || outputs > node->entry->max_outputs) {
    wrong("gives 1 to " + str(node->entry->max_outputs) + " outputs, asked for " + str(outputs));
  }
  std::vector<const Tensor*> constants;
  std::vector<bool> present;
  for (int i = 0; i < count; ++i) {
    const int id = node->inputs[static_cast<size_t>(i)];
    if (id < -1 || id >= static_cast<int>(values_.size()))
      wrong("input " + str(i) + " is not a value: " + str(id));
    if (id == -1 && i < node->entry->min_inputs) wrong("input " + str(i) + " is required");
    present.push_back(id != -1);
    ProgramValue* value = id == -1 ? nullptr : &values_[static_cast<size_t>(id)];
    const bool is_constant = value != nullptr && value->kind == ProgramValue::Kind::constant;
    constants.push_back(is_constant ? &value->tensor : nullptr);
  }
  NodeDef def(attrs, constants, present, outputs, set_, &pool_, &node->weights);
  try {
    node->op = node->entry->make(def);
    def.check_all_read();
    node->weights.check_all_taken();
    for (int i = 0; i < count; ++i) {
      if (!def.released(i) && def.constant(i) != nullptr) def.need_constant(i, "read at run time");
    }
  } catch (const std::invalid_argument& e) {
    wrong(e.what());
  }
  for (int i = 0; i < count; ++i) {
    if (constants[static_cast<size_t>(i)] != nullptr && !def.released(i)) {
      ++values_[static_cast<size_t>(node->inputs[static_cast<size_t>(i)])].readers;
    }
  }
  for (int i = 0; i < outputs; ++i) {
    node->outputs.push_back(static_cast<int>(values_.size()));
    values_.emplace_back();
  }
  nodes_.push_back(std::move(node));
  return nodes_.back()->outputs;
}

void Program::finish(const std::vector<int>& outputs) {
  need_building();
  for (int id : outputs) {
    if (id < 0 || id >= static_cast<int>(values_.size()))
      fail("output " + str(id) + " is not a value");
    if (values_[static_cast<size_t>(id)].is_hollow())
      fail("output " + str(id) + " is a constant without content");
    ++values_[static_cast<size_t>(id)].readers;
  }
  outputs_ = outputs;
  finished_ = true;

  std::vector<bool> needed(values_.size(), false);
  for (int id : outputs_) needed[static_cast<size_t>(id)] = true;
  std::vector<std::unique_ptr<ProgramNode>> kept;
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const auto& out = (*node)->outputs;
    if (std::none_of(out.begin(), out.end(),
                     [&](int id) { return needed[static_cast<size_t>(id)]; }))
      continue;
    for (int id : (*node)->inputs) {
      if (id >= 0) needed[static_cast<size_t>(id)] = true;
    }
    kept.push_back(std::move(*node));
  }
  std::reverse(kept.begin(), kept.end());
  nodes_ = std::move(kept);
  for (size_t i = 0; i < values_.size(); ++i) {
    ProgramValue& value = values_[i];
    if (value.kind != ProgramValue::Kind::constant || (value.readers > 0 && needed[i])) continue;
    value.tensor.data = nullptr;
    value.owner.reset();
  }
}

std::shared_ptr<Plan> Program::plan_for(const std::vector<Tensor>& inputs) {
  if (!finished_) fail("the program is not finished");
  std::string key = plan_key(values_, inputs_, inputs);
  const std::lock_guard<std::mutex> lock(plans_mutex_);
  for (auto it = plans_.begin(); it != plans_.end(); ++it) {
    if (it->first != key) continue;
    plans_.splice(plans_.begin(), plans_, it);
    return plans_.front().second;
  }
  std::shared_ptr<Plan> plan = make_plan(this, inputs, &pool_);
  plan->set_batch(Batch::split(this, *plan, inputs));
  plans_.emplace_front(std::move(key), plan);
  if (plans_.size() > kPlans) plans_.pop_back();
  return plan;
}

ProgramStats Program::stats() {
  ProgramStats stats;
  for (const ProgramValue& value : values_) {
    if (value.kind == ProgramValue::Kind::constant && value.tensor.data != nullptr) {
      stats.constant_bytes += value.tensor.bytes();
    }
  }
  const std::lock_guard<std::mutex> lock(plans_mutex_);
  stats.plans = static_cast<int>(plans_.size());
  for (const auto& [key, plan] : plans_) {
    stats.arena_bytes += plan->arena_bytes() * plan->instances();
    if (plan->batch() != nullptr) stats.arena_bytes += plan->batch()->arena_bytes();
  }
  if (!plans_.empty()) {
    stats.steps = static_cast<int>(plans_.front().second->step_count());
    stats.folded = plans_.front().second->folded_count();
  }
  return stats;
}

}  // namespace pycompress
