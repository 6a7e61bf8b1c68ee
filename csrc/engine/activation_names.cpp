#include "engine/activation_names.h"

#include <limits>

#include "engine/tensor.h"

namespace pycompress {
namespace {

struct Row {
  const char* name;
  Unary op;
};

constexpr Row kNames[] = {
    {"", Unary::identity},
    {"identity", Unary::identity},
    {"abs", Unary::abs},
    {"neg", Unary::neg},
    {"relu", Unary::relu},
    {"leaky_relu", Unary::leaky_relu},
    {"clip", Unary::clip},
    {"sigmoid", Unary::sigmoid},
    {"hard_sigmoid", Unary::hard_sigmoid},
    {"hard_swish", Unary::hard_swish},
    {"silu", Unary::silu},
    {"tanh", Unary::tanh},
    {"gelu", Unary::gelu},
    {"gelu_tanh", Unary::gelu_tanh},
    {"erf", Unary::erf},
    {"exp", Unary::exp},
    {"log", Unary::log},
    {"sqrt", Unary::sqrt},
    {"reciprocal", Unary::reciprocal},
    {"square", Unary::square},
    {"floor", Unary::floor},
    {"ceil", Unary::ceil},
    {"round", Unary::round},
    {"sign", Unary::sign},
    {"softplus", Unary::softplus},
    {"elu", Unary::elu},
    {"sin", Unary::sin},
    {"cos", Unary::cos},
};

}  // namespace

Unary unary_of(const std::string& name) {
  for (const Row& row : kNames) {
    if (name == row.name) return row.op;
  }
  fail("activation '" + name + "' is not known");
}

UnaryDefaults unary_defaults(Unary op) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  switch (op) {
    case Unary::leaky_relu:
      return {0.01f, 0.0f};
    case Unary::clip:
      return {-kInfinity, kInfinity};
    case Unary::hard_sigmoid:
      return {0.2f, 0.5f};
    case Unary::elu:
      return {1.0f, 0.0f};
    default:
      return {0.0f, 0.0f};
  }
}

}  // namespace pycompress
