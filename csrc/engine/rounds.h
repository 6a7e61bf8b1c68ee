// A program that runs round after round, each on what the last one gave: the bodies of Loop and
// Scan.
//
//   the body takes   (Loop: number of the round, true), states, slices, captured values
//   the body gives   (Loop: whether to go on), states, values that are collected
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "engine/program.h"

namespace pycompress {

struct Body {
  std::string title;       // begins what is wrong
  std::vector<int> taken;  // of each input of the program: its place in what the body takes
  std::vector<int> given;  // of each thing that the body gives: the output of the program
  bool counts = false;     // it is that of a Loop
  int64_t most = -1;       // rounds; negative: no bound
};

// What one output adds up to: as many tensors of one shape as there were rounds.
struct Collected {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<uint8_t> bytes;
};

class Rounds {
 public:
  // sliced: the first slices; each begins where the one before it ends. All memory is the caller's,
  // and so is the order: states, slices, captured values.
  Rounds(Program* program, Body body, std::vector<Tensor> states, const std::vector<Tensor>& sliced,
         const std::vector<Tensor>& captured);

  // Runs at most so many rounds more; false when it has come to the end.
  bool run(int64_t rounds);

  int64_t done() const { return number_; }
  // After a round: in memory that lasts as long as this object.
  const Tensor& state(size_t i) const { return takes_[first_state() + i]; }
  const std::vector<Collected>& collected() const { return collected_; }

 private:
  size_t first_state() const { return body_.counts ? 2 : 0; }
  void round();
  void make_plan();
  void collect(const Tensor& tensor, Collected* to) const;

  Program* program_;
  Body body_;
  size_t states_;
  std::vector<Tensor> takes_;
  std::vector<size_t> moves_;  // bytes from one round's slice to the next one's
  int64_t number_ = 0;
  bool go_ = true;
  bool true_ = true;
  bool by_value_ = false;
  std::shared_ptr<Plan> plan_;
  std::vector<Tensor> inputs_;  // of the program, as the plan has them
  std::vector<void*> in_, out_;
  // Outputs of the program; the states of a round are read while those of the next are written.
  std::array<std::vector<AlignedBuffer>, 2> memory_;
  std::vector<Collected> collected_;
};

}  // namespace pycompress
