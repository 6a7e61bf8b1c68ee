#include "engine/rounds.h"

#include <algorithm>
#include <utility>

namespace pycompress {

Rounds::Rounds(Program* program, Body body, std::vector<Tensor> states,
               const std::vector<Tensor>& sliced, const std::vector<Tensor>& captured)
    : program_(program), body_(std::move(body)), states_(states.size()) {
  if (body_.counts) {
    takes_.resize(2);
    takes_[0].dtype = DType::s64;
    takes_[0].data = &number_;
    takes_[1].dtype = DType::b8;
    takes_[1].data = &true_;
  }
  takes_.insert(takes_.end(), states.begin(), states.end());
  const size_t first_slice = takes_.size();
  takes_.insert(takes_.end(), sliced.begin(), sliced.end());
  takes_.insert(takes_.end(), captured.begin(), captured.end());
  moves_.resize(takes_.size(), 0);
  for (size_t i = 0; i < sliced.size(); ++i) moves_[first_slice + i] = sliced[i].bytes();

  const auto& ids = program->input_ids();
  const auto& values = program->values();
  if (body_.taken.size() != ids.size())
    fail(body_.title + ": its body takes " + str(static_cast<int64_t>(body_.taken.size())) +
         " values, its program " + str(static_cast<int64_t>(ids.size())));
  for (size_t i = 0; i < ids.size(); ++i) {
    const ProgramValue& value = values[static_cast<size_t>(ids[i])];
    const int place = body_.taken[i];
    if (place < 0 || place >= static_cast<int>(takes_.size()))
      fail(body_.title + ": " + str(place) + " is no place in what its body takes");
    const Tensor& tensor = takes_[static_cast<size_t>(place)];
    if (tensor.dtype != value.tensor.dtype)
      fail(body_.title + ": input '" + value.name + "' of its body must be " +
           dtype_name(value.tensor.dtype) + ", found " + dtype_name(tensor.dtype));
    by_value_ = by_value_ || value.by_value;
  }
  const auto outputs = static_cast<int>(program->output_ids().size());
  const size_t least = states_ + (body_.counts ? 1 : 0);
  if (body_.given.size() < least ||
      std::any_of(body_.given.begin(), body_.given.end(),
                  [outputs](int output) { return output < 0 || output >= outputs; }))
    fail(body_.title + ": what its body gives does not fit its program");
  collected_.resize(body_.given.size() - least);
}

bool Rounds::run(int64_t rounds) {
  for (int64_t i = 0; go_ && number_ != body_.most; ++i) {
    if (i == rounds) return true;
    round();
  }
  return false;
}

void Rounds::make_plan() {
  bool same = plan_ != nullptr && !by_value_;
  inputs_.resize(body_.taken.size());
  in_.resize(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Tensor& taken = takes_[static_cast<size_t>(body_.taken[i])];
    same = same && taken.shape == inputs_[i].shape;
    inputs_[i] = taken;
    in_[i] = taken.data;
  }
  if (!same) plan_ = program_->plan_for(inputs_);
}

void Rounds::collect(const Tensor& tensor, Collected* to) const {
  if (number_ == 0) {
    to->dtype = tensor.dtype;
    to->shape = tensor.shape;
  } else if (tensor.shape != to->shape) {
    fail(body_.title + ": what it collects has shapes " + to->shape.str() + ", " +
         tensor.shape.str());
  }
  const auto* bytes = static_cast<const uint8_t*>(tensor.data);
  to->bytes.insert(to->bytes.end(), bytes, bytes + tensor.bytes());
}

void Rounds::round() {
  make_plan();
  const std::vector<PlannedValue>& outputs = plan_->outputs();
  std::vector<AlignedBuffer>& memory = memory_[static_cast<size_t>(number_ % 2)];
  memory.resize(outputs.size());
  out_.resize(outputs.size());
  const auto tensor = [&](size_t output) {
    Tensor made;
    made.dtype = outputs[output].dtype;
    made.shape = outputs[output].shape;
    made.data = out_[output];
    return made;
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    const size_t bytes = tensor(i).bytes();
    if (memory[i].size() < std::max<size_t>(bytes, 1))
      memory[i] = AlignedBuffer(std::max<size_t>(bytes, 1));
    out_[i] = memory[i].data();
  }
  run_plan(plan_, program_->pool(), in_, out_, program_->profiling(), program_->poison());

  size_t next = 0;
  const auto given = [&] { return tensor(static_cast<size_t>(body_.given[next++])); };
  if (body_.counts) {
    const Tensor go = given();
    if (go.elements() != 1 || go.dtype != DType::b8)
      fail(body_.title + ": the body's condition must be one value, found shape " + go.shape.str());
    go_ = *go.as<bool>();
  }
  for (size_t i = 0; i < states_; ++i) {
    Tensor& state = takes_[first_state() + i];
    const Tensor now = given();
    if (now.dtype != state.dtype)
      fail(body_.title + ": what it passes on was " + dtype_name(state.dtype) + " and is " +
           dtype_name(now.dtype));
    state = now;
  }
  for (Collected& to : collected_) collect(given(), &to);
  for (size_t i = 0; i < takes_.size(); ++i)
    takes_[i].data = static_cast<uint8_t*>(takes_[i].data) + moves_[i];
  ++number_;
}

}  // namespace pycompress
