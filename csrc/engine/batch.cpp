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

Work work_of(Program* program, const Plan& plan) {
  Work work;
  for (const auto& node : program->nodes()) {
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
  const Work work = work_of(program, plan);
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

  // Whether all outputs have the examples one after the other.
  bool find(const std::vector<bool>& rows) {
    const auto& values = program_.values();
    axis_.assign(values.size(), kWhole);
    for (size_t i = 0; i < rows.size(); ++i)
      axis_[at(program_.input_ids()[i])] = rows[i] ? 0 : kWhole;
    for (const auto& node : program_.nodes()) {
      const std::vector<int> found = axes_of(*node);
      for (size_t i = 0; i < found.size(); ++i) {
        const int id = node->outputs[i];
        const bool known = is_known(whole_, id) && is_known(part_, id);
        axis_[at(id)] = known ? compare(id) : found[i];
        if (!has_shape(id)) return false;
      }
    }
    const auto& outputs = program_.output_ids();
    return std::all_of(outputs.begin(), outputs.end(), [&](int id) { return axis_[at(id)] == 0; });
  }

 private:
  const PlannedValue& of(const Plan& plan, int id) const { return plan.values()[at(id)]; }

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
  int64_t first = 0;
  for (const Parts& wanted :
       {Parts{nullptr, 0, larger, size + 1}, Parts{nullptr, 0, count - larger, size}}) {
    if (wanted.count == 0) continue;
    Parts parts = wanted;
    parts.first = first;
    first += parts.count * parts.size;
    std::vector<Tensor> some = inputs;
    for (size_t i = 0; i < some.size(); ++i) {
      if (batched.rows[i]) some[i].shape[0] = parts.size;
    }
    try {
      parts.plan = make_plan(program, some, nullptr);
    } catch (const std::invalid_argument&) {
      return nullptr;  // the model takes this size of batch only
    }
    if (!Axes(program, plan, *parts.plan, batched.size, parts.size).find(batched.rows))
      return nullptr;
    batch->parts_.push_back(std::move(parts));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto bytes = static_cast<int64_t>(inputs[i].bytes());
    batch->in_bytes_.push_back(batched.rows[i] ? bytes / batched.size : 0);
  }
  for (const PlannedValue& value : plan.outputs())
    batch->out_bytes_.push_back(bytes_of(value) / batched.size);
  return batch;
}

void Batch::run(ThreadPool* pool, const std::vector<void*>& inputs,
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
    Lease lease(parts.plan);
    lease->run(moved(inputs, in_bytes_, example), moved(outputs, out_bytes_, example), profiling,
               poison);
  });
}

size_t Batch::arena_bytes() const {
  size_t bytes = 0;
  for (const Parts& parts : parts_) bytes += parts.plan->arena_bytes() * parts.plan->instances();
  return bytes;
}

}  // namespace pycompress
