#include "engine/ops/gate_functions.h"

#include <cmath>

namespace pycompress {
namespace {

struct Entry {
  const char* name;
  Unary op;
  GateExtra extra;
  bool takes_alpha, takes_beta;
  float alpha, beta;  // the defaults: those of the operator of that name
};

// clang-format off
constexpr Entry kFunctions[] = {
//  name               kernel                extra                        alpha  beta   defaults
    {"Sigmoid",         Unary::sigmoid,      GateExtra::none,             false, false, 0.0f,  0.0f},
    {"Tanh",            Unary::tanh,         GateExtra::none,             false, false, 0.0f,  0.0f},
    {"Relu",            Unary::relu,         GateExtra::none,             false, false, 0.0f,  0.0f},
    {"Softplus",        Unary::softplus,     GateExtra::none,             false, false, 0.0f,  0.0f},
    {"LeakyRelu",       Unary::leaky_relu,   GateExtra::none,             true,  false, 0.01f, 0.0f},
    {"Elu",             Unary::elu,          GateExtra::none,             true,  false, 1.0f,  0.0f},
    {"HardSigmoid",     Unary::hard_sigmoid, GateExtra::none,             true,  true,  0.2f,  0.5f},
    {"Affine",          Unary::identity,     GateExtra::affine,           true,  true,  1.0f,  0.0f},
    {"ScaledTanh",      Unary::identity,     GateExtra::scaled_tanh,      true,  true,  1.0f,  1.0f},
    {"ThresholdedRelu", Unary::identity,     GateExtra::thresholded_relu, true,  false, 1.0f,  0.0f},
    {"Softsign",        Unary::identity,     GateExtra::softsign,         false, false, 0.0f,  0.0f},
};
// clang-format on

const Entry& find_function(const std::string& name) {
  for (const Entry& entry : kFunctions) {
    if (name == entry.name) return entry;
  }
  std::string all;
  for (const Entry& entry : kFunctions) all += std::string(all.empty() ? "" : ", ") + entry.name;
  fail("attribute 'activations' has " + name + "; possible are " + all);
}

}  // namespace

void GateFunction::operator()(const PointwiseKernels& pointwise, float* x, int64_t n,
                              float* y) const {
  switch (extra) {
    case GateExtra::none:
      return pointwise.unary(op, x, n, alpha, beta, y);
    case GateExtra::affine:
      for (int64_t i = 0; i < n; ++i) y[i] = alpha * x[i] + beta;
      return;
    case GateExtra::thresholded_relu:
      // NaN stays.
      for (int64_t i = 0; i < n; ++i) y[i] = x[i] <= alpha ? 0.0f : x[i];
      return;
    case GateExtra::scaled_tanh:
      for (int64_t i = 0; i < n; ++i) y[i] = beta * x[i];
      pointwise.unary(Unary::tanh, y, n, 0.0f, 0.0f, y);
      for (int64_t i = 0; i < n; ++i) y[i] *= alpha;
      return;
    case GateExtra::softsign:
      for (int64_t i = 0; i < n; ++i) y[i] = x[i] / (1.0f + std::fabs(x[i]));
      return;
  }
}

std::vector<GateFunction> read_gate_functions(const NodeDef& node, int64_t directions, size_t each,
                                              std::initializer_list<const char*> otherwise) {
  std::vector<std::string> names = node.words("activations");
  if (names.empty()) {
    for (int64_t d = 0; d < directions; ++d)
      names.insert(names.end(), otherwise.begin(), otherwise.end());
  }
  if (names.size() != each * static_cast<size_t>(directions)) {
    fail("attribute 'activations' has " + str(static_cast<int64_t>(names.size())) +
         " names, wanted " + str(static_cast<int64_t>(each) * directions));
  }
  const std::vector<float> alphas = node.numbers("activation_alpha");
  const std::vector<float> betas = node.numbers("activation_beta");
  size_t alpha = 0;
  size_t beta = 0;
  std::vector<GateFunction> functions;
  for (const std::string& name : names) {
    const Entry& entry = find_function(name);
    GateFunction function{entry.op, entry.extra, entry.alpha, entry.beta};
    if (entry.takes_alpha && alpha < alphas.size()) function.alpha = alphas[alpha++];
    if (entry.takes_beta && beta < betas.size()) function.beta = betas[beta++];
    functions.push_back(function);
  }
  return functions;
}

}  // namespace pycompress
