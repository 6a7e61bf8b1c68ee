// Makes a plan: shapes and known values forward, what is needed backward, then places in memory.
#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "engine/arena.h"
#include "engine/plan.h"
#include "engine/program.h"

namespace pycompress {
namespace {

constexpr size_t kMostFoldedBytes = size_t{16} << 20;
constexpr int kForever = std::numeric_limits<int>::max();

// Memory that one or more values (views, in-place results) share.
struct Storage {
  Place::Kind kind = Place::Kind::arena;
  void* data = nullptr;
  size_t index = 0;
  bool slack = false;
  size_t bytes = 0;
  int first = 0;
  int last = -1;
};

}  // namespace

class Planner {
 public:
  Planner(Program* program, const std::vector<Tensor>& inputs, ThreadPool* pool,
          const Stretch& stretch)
      : program_(*program),
        stretch_(stretch),
        plan_(new Plan),
        values_(program->values().size()),
        known_(values_.size()) {
    plan_->set_ = &program->set();
    plan_->pool_ = pool;
    start(inputs);
  }

  std::shared_ptr<Plan> make() {
    for (size_t i = 0; i < stretch_.last; ++i) infer(program_.nodes()[i].get(), i);
    drop_unneeded();
    take_over();
    share_storage();
    place();
    return plan_;
  }

 private:
  struct Pending {
    Step step;
    std::vector<PlanContext::Output> outputs;
    size_t scratch_bytes = 0;
    size_t persistent_bytes = 0;
  };

  static size_t at(int id) { return static_cast<size_t>(id); }

  void start(const std::vector<Tensor>& inputs) {
    const auto& values = program_.values();
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].kind != ProgramValue::Kind::constant) continue;
      values_[i] = {values[i].tensor.dtype, values[i].tensor.shape, nullptr};
      if (values[i].tensor.data != nullptr) know(i, values[i].tensor);
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto id = at(program_.input_ids()[i]);
      values_[id] = {inputs[i].dtype, inputs[i].shape, nullptr};
      if (!values[id].by_value) continue;
      Tensor copy = allocate(inputs[i].dtype, inputs[i].shape);
      if (copy.bytes() > 0) std::memcpy(copy.data, inputs[i].data, copy.bytes());
      know(id, copy);
    }
  }

  void know(size_t id, const Tensor& tensor) {
    known_[id] = std::make_unique<Tensor>(tensor);
    values_[id].known = known_[id].get();
  }

  Tensor allocate(DType dtype, const Shape& shape) {
    Tensor tensor;
    tensor.dtype = dtype;
    tensor.shape = shape;
    tensor.slack = true;
    plan_->constants_.emplace_back(padded_size(tensor.bytes()));
    tensor.data = plan_->constants_.back().data();
    return tensor;
  }

  void infer(ProgramNode* node, size_t index) {
    std::vector<const PlanValue*> inputs;
    for (int id : node->inputs) inputs.push_back(id < 0 ? nullptr : &values_[at(id)]);
    PlanContext context(program_.set(), plan_->pool_, inputs,
                        static_cast<int>(node->outputs.size()));
    Pending pending;
    try {
      pending.step.state = node->op->plan(context);
      for (size_t i = 0; i < context.outputs_.size(); ++i) {
        const PlanContext::Output& out = context.outputs_[i];
        if (!out.set)
          fail("output " + str(static_cast<int64_t>(i)) + " is not computed by this operator");
        PlanValue& value = values_[at(node->outputs[i])];
        value = {out.dtype, out.shape, nullptr};
        if (!out.known) continue;
        Tensor tensor = allocate(DType::s64, out.shape);
        if (!out.values.empty()) std::memcpy(tensor.data, out.values.data(), tensor.bytes());
        know(at(node->outputs[i]), tensor);
      }
      pending.step.node = node;
      pending.step.inputs = node->inputs;
      pending.step.outputs = node->outputs;
      pending.outputs = std::move(context.outputs_);
      pending.scratch_bytes = context.scratch_;
      pending.persistent_bytes = context.persistent_;
      if (fold(pending)) {
        ++plan_->folded_;
      } else if (index >= stretch_.first) {
        pending_.push_back(std::move(pending));
      }
    } catch (const std::invalid_argument& e) {
      fail(node->title() + ": " + e.what());
    }
  }

  // Computes the outputs now when all inputs are known; true when nothing is left to run.
  bool fold(const Pending& pending) {
    const Step& step = pending.step;
    const auto is_known = [&](int id) { return id < 0 || values_[at(id)].known != nullptr; };
    if (std::all_of(step.outputs.begin(), step.outputs.end(), is_known)) return true;
    if (!std::all_of(step.inputs.begin(), step.inputs.end(), is_known)) return false;
    size_t bytes = 0;
    bool views = true;
    for (const PlanContext::Output& out : pending.outputs) {
      if (out.view_of >= 0) continue;
      bytes += static_cast<size_t>(out.shape.elements()) * dtype_size(out.dtype);
      views = false;
    }
    if (bytes > kMostFoldedBytes) return false;

    std::vector<Tensor> results;
    std::vector<const Tensor*> inputs;
    std::vector<const Tensor*> outputs;
    for (int id : step.inputs) inputs.push_back(id < 0 ? nullptr : values_[at(id)].known);
    for (const PlanContext::Output& out : pending.outputs) {
      if (out.view_of >= 0) {
        Tensor view = *inputs[at(out.view_of)];
        view.dtype = out.dtype;
        view.shape = out.shape;
        results.push_back(view);
      } else {
        results.push_back(allocate(out.dtype, out.shape));
      }
    }
    for (const Tensor& tensor : results) outputs.push_back(&tensor);
    if (!views) {
      const AlignedBuffer scratch(padded_size(pending.scratch_bytes));
      const AlignedBuffer persistent(padded_size(pending.persistent_bytes));
      std::memset(persistent.data(), 0, pending.persistent_bytes);
      RunContext context;
      context.set_ = plan_->set_;
      context.pool_ = plan_->pool_;
      context.inputs_ = inputs.data();
      context.outputs_ = outputs.data();
      context.input_count_ = static_cast<int>(inputs.size());
      context.output_count_ = static_cast<int>(outputs.size());
      context.scratch_ = scratch.data();
      context.persistent_ = persistent.data();
      context.state_ = step.state.get();
      step.node->op->run(context);
    }
    for (size_t i = 0; i < results.size(); ++i) know(at(step.outputs[i]), results[i]);
    return true;
  }

  void drop_unneeded() {
    std::vector<bool> needed(values_.size(), false);
    for (int id : stretch_.outputs) needed[at(id)] = true;
    std::vector<Pending> kept;
    for (auto pending = pending_.rbegin(); pending != pending_.rend(); ++pending) {
      const auto& outputs = pending->step.outputs;
      const bool used = std::any_of(outputs.begin(), outputs.end(), [&](int id) {
        return needed[at(id)] && values_[at(id)].known == nullptr;
      });
      if (!used) continue;
      for (int id : pending->step.inputs) {
        if (id >= 0) needed[at(id)] = true;
      }
      kept.push_back(std::move(*pending));
    }
    std::reverse(kept.begin(), kept.end());
    pending_ = std::move(kept);
  }

  // Lets operators compute their first inputs along the way, where nobody else reads these.
  void take_over() {
    std::vector<int> readers(values_.size(), 0);
    std::vector<size_t> giver(values_.size(), pending_.size());
    for (size_t t = 0; t < pending_.size(); ++t) {
      for (const int id : pending_[t].step.inputs) {
        if (id >= 0) ++readers[at(id)];
      }
      if (pending_[t].step.outputs.size() == 1) giver[at(pending_[t].step.outputs[0])] = t;
    }
    for (const int id : stretch_.outputs) ++readers[at(id)];
    for (Pending& pending : pending_) {
      std::vector<int>& inputs = pending.step.inputs;
      if (inputs.empty() || inputs[0] < 0 || readers[at(inputs[0])] != 1) continue;
      const size_t from = giver[at(inputs[0])];
      if (from == pending_.size()) continue;
      Step& before = pending_[from].step;
      const Preceding preceding{*before.node->op, before.state, static_cast<int>(inputs.size()),
                                plan_->pool_ == nullptr ? 1 : plan_->pool_->size()};
      if (!pending.step.node->op->take_over(preceding, pending.step.state.get(),
                                            &pending.scratch_bytes))
        continue;
      before.node = nullptr;
      inputs[0] = -1;
      inputs.insert(inputs.end(), before.inputs.begin(), before.inputs.end());
    }
    const auto taken = [](const Pending& pending) { return pending.step.node == nullptr; };
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(), taken), pending_.end());
  }

  int add_storage(const Storage& storage) {
    storages_.push_back(storage);
    return static_cast<int>(storages_.size()) - 1;
  }

  Storage& storage_of(int id) { return storages_[at(storage_[at(id)])]; }

  void share_storage() {
    storage_.assign(values_.size(), -1);
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i].known == nullptr) continue;
      Storage storage;
      storage.kind = Place::Kind::constant;
      storage.data = values_[i].known->data;
      storage.slack = values_[i].known->slack;
      storage_[i] = add_storage(storage);
    }
    for (size_t i = 0; i < program_.input_ids().size(); ++i) {
      const auto id = at(program_.input_ids()[i]);
      if (values_[id].known != nullptr) continue;
      Storage storage;
      storage.kind = Place::Kind::input;
      storage.index = i;
      storage_[id] = add_storage(storage);
    }
    // A constant whose bytes its only readers have packed away still has a place: nobody reads it.
    for (size_t i = 0; i < values_.size(); ++i) {
      if (storage_[i] >= 0 || program_.values()[i].kind != ProgramValue::Kind::constant) continue;
      Storage storage;
      storage.kind = Place::Kind::constant;
      storage_[i] = add_storage(storage);
    }
    for (const int id : stretch_.given) {
      Storage storage;
      storage.slack = true;
      storage.bytes =
          static_cast<size_t>(values_[at(id)].shape.elements()) * dtype_size(values_[at(id)].dtype);
      storage.last = 0;
      storage_[at(id)] = add_storage(storage);
    }
    for (size_t t = 0; t < pending_.size(); ++t) {
      const Pending& pending = pending_[t];
      for (int id : pending.step.inputs) {
        if (id >= 0) storage_of(id).last = std::max(storage_of(id).last, static_cast<int>(t));
      }
      for (size_t i = 0; i < pending.outputs.size(); ++i) {
        const int id = pending.step.outputs[i];
        if (storage_[at(id)] >= 0) continue;  // known
        const PlanContext::Output& out = pending.outputs[i];
        if (out.view_of >= 0) {
          storage_[at(id)] = storage_[at(pending.step.inputs[at(out.view_of)])];
          continue;
        }
        Storage storage;
        storage.slack = true;
        storage.bytes = static_cast<size_t>(out.shape.elements()) * dtype_size(out.dtype);
        storage.first = storage.last = static_cast<int>(t);
        storage_[at(id)] = add_storage(storage);
      }
    }
    assign_outputs();
    for (size_t t = 0; t < pending_.size(); ++t) merge_in_place(static_cast<int>(t));
  }

  void assign_outputs() {
    const auto& ids = stretch_.outputs;
    for (size_t i = 0; i < ids.size(); ++i) {
      Storage& storage = storage_of(ids[i]);
      if (storage.kind == Place::Kind::arena) {
        storage.kind = Place::Kind::output;
        storage.index = i;
        storage.slack = false;
        storage.last = kForever;
      } else {
        plan_->copies_.push_back({ids[i], i});
      }
    }
  }

  void merge_in_place(int t) {
    const Pending& pending = pending_[at(t)];
    for (size_t i = 0; i < pending.outputs.size(); ++i) {
      const int out = pending.step.outputs[i];
      for (int in : pending.outputs[i].over) {
        const int id = pending.step.inputs[at(in)];
        Storage& from = storage_of(id);
        Storage& to = storage_of(out);
        if (from.kind != Place::Kind::arena || from.last != t || from.bytes != to.bytes ||
            to.first != t)
          continue;
        const auto& inputs = pending.step.inputs;
        const auto shared = std::count_if(inputs.begin(), inputs.end(), [&](int other) {
          return other >= 0 && storage_[at(other)] == storage_[at(id)];
        });
        if (shared != 1) continue;
        to.first = from.first;
        const int old = storage_[at(id)];
        const int now = storage_[at(out)];
        std::replace(storage_.begin(), storage_.end(), old, now);
        break;
      }
    }
  }

  void place() {
    std::vector<int> used(storages_.size(), -1);
    std::vector<ArenaRequest> requests;
    const auto request = [&](size_t bytes, int first, int last) {
      requests.push_back({bytes, first, last, 0});
      return static_cast<int>(requests.size()) - 1;
    };
    const auto place_value = [&](int id) {
      const auto s = at(storage_[at(id)]);
      if (used[s] < 0 && storages_[s].kind == Place::Kind::arena) {
        used[s] = request(storages_[s].bytes, storages_[s].first, storages_[s].last);
      }
    };
    for (const int id : stretch_.given) place_value(id);
    std::vector<int> scratch;
    for (size_t t = 0; t < pending_.size(); ++t) {
      Pending& pending = pending_[t];
      for (const int id : pending.step.outputs) place_value(id);
      const auto now = static_cast<int>(t);
      scratch.push_back(pending.scratch_bytes > 0 ? request(pending.scratch_bytes, now, now) : -1);
      pending.step.persistent = plan_->persistent_bytes_;
      if (pending.persistent_bytes > 0)
        plan_->persistent_bytes_ += padded_size(pending.persistent_bytes);
    }
    plan_->arena_bytes_ = place_buffers(&requests);
    for (size_t s = 0; s < storages_.size(); ++s) {
      if (used[s] >= 0) storages_[s].index = requests[at(used[s])].offset;
    }
    for (size_t i = 0; i < values_.size(); ++i) {
      PlannedValue value;
      value.dtype = values_[i].dtype;
      value.shape = values_[i].shape;
      value.place.kind = Place::Kind::constant;
      if (storage_[i] >= 0) {
        const Storage& storage = storages_[at(storage_[i])];
        value.place = {storage.kind, storage.data, storage.index, storage.slack};
      }
      plan_->values_.push_back(value);
    }
    for (int id : stretch_.outputs) plan_->outputs_.push_back(plan_->values_[at(id)]);
    for (size_t t = 0; t < pending_.size(); ++t) {
      Step& step = pending_[t].step;
      if (scratch[t] >= 0) step.scratch = requests[at(scratch[t])].offset;
      const auto& outputs = pending_[t].outputs;
      const bool only_views =
          std::all_of(outputs.begin(), outputs.end(),
                      [](const PlanContext::Output& out) { return out.view_of >= 0; });
      if (!only_views) plan_->steps_.push_back(std::move(step));
    }
  }

  Program& program_;
  const Stretch& stretch_;
  std::shared_ptr<Plan> plan_;
  std::vector<PlanValue> values_;
  std::vector<std::unique_ptr<Tensor>> known_;
  std::vector<Pending> pending_;
  std::vector<int> storage_;  // by value
  std::vector<Storage> storages_;
};

std::shared_ptr<Plan> make_plan(Program* program, const std::vector<Tensor>& inputs,
                                ThreadPool* pool, const Stretch* stretch) {
  const Stretch all{0, program->nodes().size(), {}, program->output_ids()};
  return Planner(program, inputs, pool, stretch == nullptr ? all : *stretch).make();
}

}  // namespace pycompress
