#include "engine/batch.h"

#include <algorithm>
#include <cstring>

#include "engine/batch_rules.h"
#include "engine/program.h"

namespace pycompress {
namespace {

// What a part keeps should stay in a second-level cache.
constexpr int64_t kPartBytes = 1024 * 1024;

// Multiply-adds that are worth a thread for whole runs, wherever its operators begin and end.
constexpr double kPartWork = 2e6;

// Of all work, for nodes that run in parts before others that do not.
constexpr double kLeastShare = 0.25;

size_t at(int id) { return static_cast<size_t>(id); }

struct Batched {
  int64_t size = 0;        // examples; below 2: there is no batch
  std::vector<bool> rows;  // whether an input has them
};

Batched batch_of(const Program& program, const std::vector<Tensor>& inputs) {
  Batched found;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool by_value = program.values()[at(program.input_ids()[i])].by_value;
    const bool usable = !by_value && inputs[i].shape.rank() > 0;
    if (usable && found.size == 0) found.size = inputs[i].shape[0];
    found.rows.push_back(usable && inputs[i].shape[0] == found.size);
  }
  return found;
}

struct Work {
  double macs = 0;  // about; of layers with weights
  int64_t weight_bytes = 0;
};

Work work_of(Program* program, const Plan& plan, size_t nodes) {
  Work work;
  for (size_t i = 0; i < nodes; ++i) {
    const auto& node = program->nodes()[i];
    const std::vector<Stored>& kept = node->weights.kept();
    for (const Stored& part : kept) {
      for (const Block& block : part.blocks) work.weight_bytes += static_cast<int64_t>(block.bytes);
    }
    const int w = node->inputs.size() > 1 ? node->inputs[1] : -1;
    if (kept.empty() || w < 0 || program->values()[at(w)].kind != ProgramValue::Kind::constant)
      continue;
    const Shape& y = plan.values()[at(node->outputs[0])].shape;
    if (plan.values()[at(w)].shape.rank() < 2 || y.rank() == 0) continue;
    work.macs += static_cast<double>(plan.values()[at(w)].shape.elements()) *
                 static_cast<double>(y.product(0, y.rank() - 1));
  }
  return work;
}

// How many parts; 1: none.
int64_t parts_of(Program* program, const Plan& plan, int64_t batch) {
  const Work work = work_of(program, plan, program->nodes().size());
  const auto arena = static_cast<int64_t>(plan.arena_bytes());
  int64_t parts = 1;
  // Each part reads all weights: they have to stay in cache, too.
  if (arena > 2 * kPartBytes && work.weight_bytes <= kPartBytes)
    parts = std::min(batch, ceil_div(arena, kPartBytes));
  const int64_t threads = program->pool()->size();
  if (threads == 1) return parts;
  const bool pays = work.macs / static_cast<double>(threads) >= kPartWork;
  const bool even = batch % threads == 0 || batch >= 4 * threads;
  return pays && even ? std::min(batch, round_up(parts, threads)) : 1;
}

// A value that was computed while both plans were made.
bool is_known(const Plan& plan, int id) {
  const Place& place = plan.values()[at(id)].place;
  return place.kind == Place::Kind::constant && place.data != nullptr;
}

int64_t bytes_of(const PlannedValue& value) {
  return value.shape.elements() * static_cast<int64_t>(dtype_size(value.dtype));
}

// Whether `bytes` bytes are `one`, over and over.
bool repeats(const uint8_t* data, int64_t bytes, const uint8_t* one, int64_t period) {
  for (int64_t i = 0; i < bytes; i += period) {
    if (std::memcmp(data + i, one, static_cast<size_t>(period)) != 0) return false;
  }
  return true;
}

// Where the batch lies in every value of a plan, held against the plan of a part.
class Axes {
 public:
  Axes(Program* program, const Plan& whole, const Plan& part, int64_t batch, int64_t size)
      : program_(*program), whole_(whole), part_(part), batch_(batch), size_(size) {}

  // How many nodes may run in parts: what they give has the examples one after the other.
  size_t find(const std::vector<bool>& rows) {
    const auto& nodes = program_.nodes();
    axis_.assign(program_.values().size(), kWhole);
    for (size_t i = 0; i < rows.size(); ++i)
      axis_[at(program_.input_ids()[i])] = rows[i] ? 0 : kWhole;
    size_t last = 0;
    while (last < nodes.size() && goes_on(*nodes[last])) ++last;
    for (bool moved = true; moved && last > 0;) {
      moved = false;
      for (const int id : given(last)) {
        if (axis_[at(id)] == 0) continue;
        while (!gives(*nodes[last - 1], id)) --last;
        --last;
        moved = true;
        break;
      }
    }
    return last;
  }

  // Values of the first `last` nodes that are computed at every run, and wanted behind them.
  std::vector<int> given(size_t last) const {
    const auto& nodes = program_.nodes();
    std::vector<bool> wanted(program_.values().size());
    for (const int id : program_.output_ids()) wanted[at(id)] = true;
    for (size_t i = last; i < nodes.size(); ++i) {
      for (const int id : nodes[i]->inputs) {
        if (id >= 0) wanted[at(id)] = true;
      }
    }
    std::vector<int> found;
    for (size_t i = 0; i < last; ++i) {
      for (const int id : nodes[i]->outputs) {
        if (wanted[at(id)] && !is_known(whole_, id)) found.push_back(id);
      }
    }
    return found;
  }

 private:
  const PlannedValue& of(const Plan& plan, int id) const { return plan.values()[at(id)]; }

  static bool gives(const ProgramNode& node, int id) {
    return std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end();
  }

  // Whether examples still lie apart in all that a node computes.
  bool goes_on(const ProgramNode& node) {
    const std::vector<int> found = axes_of(node);
    bool apart = true;
    for (size_t i = 0; i < found.size(); ++i) {
      const int id = node.outputs[i];
      const bool known = is_known(whole_, id) && is_known(part_, id);
      axis_[at(id)] = known ? compare(id) : found[i];
      apart = apart && has_shape(id) && (known || axis_[at(id)] != kTangled);
    }
    return apart;
  }

  std::vector<int> axes_of(const ProgramNode& node) const {
    const NodeDef def(node.attrs, {}, {}, 0, program_.set(), nullptr, nullptr);
    BatchNode n{node, def, batch_, {}, {}, {}, {}};
    for (const int id : node.inputs) {
      const PlannedValue* value = id < 0 ? nullptr : &of(whole_, id);
      n.in.push_back(value == nullptr ? nullptr : &value->shape);
      n.axis.push_back(value == nullptr ? kWhole : axis_[at(id)]);
      const bool list = value != nullptr && value->dtype == DType::s64 && is_known(whole_, id);
      n.values.push_back(list ? static_cast<const int64_t*>(value->place.data) : nullptr);
    }
    for (const int id : node.outputs) n.out.push_back(&of(whole_, id).shape);
    return batch_axes(n);
  }

  // A known value: the same for the part, or the same for every example.
  int compare(int id) const {
    const PlannedValue& all = of(whole_, id);
    const PlannedValue& some = of(part_, id);
    const auto* data = static_cast<const uint8_t*>(all.place.data);
    const auto* other = static_cast<const uint8_t*>(some.place.data);
    if (all.shape == some.shape) {
      const bool same = std::memcmp(data, other, static_cast<size_t>(bytes_of(all))) == 0;
      return same ? kWhole : kTangled;
    }
    int axis = 0;
    while (axis < all.shape.rank() && axis < some.shape.rank() &&
           all.shape[axis] == some.shape[axis])
      ++axis;
    if (axis == all.shape.rank() || all.shape[axis] % batch_ != 0 || bytes_of(all) == 0)
      return kTangled;
    if (bytes_of(all) * size_ != bytes_of(some) * batch_) return kTangled;
    const int64_t before = all.shape.product(0, axis);
    const int64_t from = bytes_of(all) / before, to = bytes_of(some) / before;
    for (int64_t i = 0; i < before; ++i, data += from, other += to) {
      if (!repeats(data, from, data, from / batch_) || !repeats(other, to, data, from / batch_))
        return kTangled;
    }
    return axis;
  }

  // Whether the part has of this value what the batch makes one expect.
  bool has_shape(int id) const {
    const int axis = axis_[at(id)];
    if (axis == kTangled) return true;
    Shape expected = of(whole_, id).shape;
    if (axis >= 0) {
      if (axis >= expected.rank() || expected[axis] % batch_ != 0) return false;
      expected[axis] = expected[axis] / batch_ * size_;
    }
    return of(part_, id).shape == expected;
  }

  Program& program_;
  const Plan& whole_;
  const Plan& part_;
  int64_t batch_, size_;
  std::vector<int> axis_;
};

}  // namespace

std::unique_ptr<Batch> Batch::split(Program* program, const Plan& plan,
                                    const std::vector<Tensor>& inputs) {
  const Batched batched = batch_of(*program, inputs);
  if (batched.size < 2) return nullptr;
  const int64_t count = parts_of(program, plan, batched.size);
  if (count < 2) return nullptr;
  auto batch = std::make_unique<Batch>();
  const int64_t size = batched.size / count;
  const int64_t larger = batched.size % count;  // parts with one example more
  const auto inputs_of = [&](const Parts& parts) {
    std::vector<Tensor> some = inputs;
    for (size_t i = 0; i < some.size(); ++i) {
      if (batched.rows[i]) some[i].shape[0] = parts.size;
    }
    return some;
  };
  const size_t nodes = program->nodes().size();
  Stretch before{0, nodes, {}, {}};
  int64_t first = 0;
  for (const Parts& wanted :
       {Parts{nullptr, 0, larger, size + 1}, Parts{nullptr, 0, count - larger, size}}) {
    if (wanted.count == 0) continue;
    Parts parts = wanted;
    parts.first = first;
    first += parts.count * parts.size;
    try {
      parts.plan = make_plan(program, inputs_of(parts), nullptr);
    } catch (const std::invalid_argument&) {
      return nullptr;  // the model takes this size of batch only
    }
    Axes axes(program, plan, *parts.plan, batched.size, parts.size);
    const size_t last = axes.find(batched.rows);
    if (last < before.last) before = {0, last, {}, axes.given(last)};
    batch->parts_.push_back(std::move(parts));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto bytes = static_cast<int64_t>(inputs[i].bytes());
    batch->in_bytes_.push_back(batched.rows[i] ? bytes / batched.size : 0);
  }
  if (before.last == nodes) {
    for (const PlannedValue& value : plan.outputs())
      batch->out_bytes_.push_back(bytes_of(value) / batched.size);
    return batch;
  }
  const double macs = work_of(program, plan, before.last).macs;
  if (before.outputs.empty() || macs < kLeastShare * work_of(program, plan, nodes).macs)
    return nullptr;
  for (Parts& parts : batch->parts_)
    parts.plan = make_plan(program, inputs_of(parts), nullptr, &before);
  const Stretch rest{before.last, nodes, before.outputs, program->output_ids()};
  batch->rest_ = make_plan(program, inputs, program->pool(), &rest);
  batch->given_ = before.outputs;
  for (const int id : batch->given_)
    batch->out_bytes_.push_back(bytes_of(plan.values()[at(id)]) / batched.size);
  return batch;
}

void Batch::run(ThreadPool* pool, const std::vector<void*>& inputs,
                const std::vector<void*>& outputs, bool profiling, bool poison) const {
  if (rest_ == nullptr) return run_parts(pool, inputs, outputs, profiling, poison);
  const Lease lease(rest_);
  if (poison) lease->poison();
  std::vector<void*> given;
  for (const int id : given_) given.push_back(lease->place_of(id, outputs));
  run_parts(pool, inputs, given, profiling, poison);
  run_instance(&lease.plan(), lease.get(), pool, inputs, outputs, profiling);
}

void Batch::run_parts(ThreadPool* pool, const std::vector<void*>& inputs,
                      const std::vector<void*>& outputs, bool profiling, bool poison) const {
  int64_t count = 0;
  for (const Parts& parts : parts_) count += parts.count;
  const auto moved = [](const std::vector<void*>& data, const std::vector<int64_t>& bytes,
                        int64_t example) {
    std::vector<void*> to = data;
    for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<char*>(to[i]) + example * bytes[i];
    return to;
  };
  parallel_for(pool, count, [&](int64_t task, int) {
    size_t kind = 0;
    for (; task >= parts_[kind].count; ++kind) task -= parts_[kind].count;
    const Parts& parts = parts_[kind];
    const int64_t example = parts.first + task * parts.size;
    const Lease lease(parts.plan);
    if (poison) lease->poison();
    lease->run(moved(inputs, in_bytes_, example), moved(outputs, out_bytes_, example), profiling);
  });
}

size_t Batch::arena_bytes() const {
  size_t bytes = 0;
  for (const Parts& parts : parts_) bytes += parts.plan->arena_bytes() * parts.plan->instances();
  if (rest_ != nullptr) bytes += rest_->arena_bytes() * rest_->instances();
  return bytes;
}

}  // namespace pycompress
