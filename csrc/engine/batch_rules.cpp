#include "engine/batch_rules.h"

#include <algorithm>
#include <cstring>

namespace pycompress {
namespace {

// The axis in the first output (the others', where a rule says nothing else, is the same), or
// kTangled. Called where some input has the batch.
using Rule = int (*)(const BatchNode& n);

bool whole(const BatchNode& n, size_t i) { return i >= n.in.size() || n.axis[i] == kWhole; }

bool whole_from(const BatchNode& n, size_t first) {
  for (size_t i = first; i < n.in.size(); ++i) {
    if (!whole(n, i)) return false;
  }
  return true;
}

int rank(const BatchNode& n, size_t i = 0) { return n.in[i]->rank(); }

int attr_axis(const BatchNode& n, int64_t otherwise, int of_rank) {
  return normalize_axis(n.def.integer("axis", otherwise), of_rank);
}

// The values of an input that is a known list of int64; false when it is something else.
bool list(const BatchNode& n, size_t i, std::vector<int64_t>* out) {
  if (i >= n.in.size() || n.in[i] == nullptr || n.values[i] == nullptr || !whole(n, i))
    return false;
  out->assign(n.values[i], n.values[i] + n.in[i]->elements());
  return true;
}

bool has(const BatchNode& n, size_t i) { return i < n.in.size() && n.in[i] != nullptr; }

int each(const BatchNode& n) {
  const int all = n.out[0]->rank();
  int at = kWhole;
  for (size_t i = 0; i < n.in.size(); ++i) {
    if (!has(n, i) || n.axis[i] == kWhole) continue;
    const int axis = n.axis[i] + all - rank(n, i);
    if (n.axis[i] < 0 || (at != kWhole && axis != at)) return kTangled;
    at = axis;
  }
  for (size_t i = 0; i < n.in.size(); ++i) {
    if (!has(n, i) || n.axis[i] != kWhole) continue;
    const int axis = at - (all - rank(n, i));
    if (axis >= 0 && (*n.in[i])[axis] != 1) return kTangled;
  }
  return at;
}

int scaled(const BatchNode& n) {
  if (n.axis[0] < 0 || !whole_from(n, 1) || n.def.integer("block_size", 0) != 0) return kTangled;
  if (n.in[1]->elements() != 1 && attr_axis(n, 1, rank(n)) == n.axis[0]) return kTangled;
  return n.axis[0];
}

// Input 0 has the batch first; so may a residual, which has the shape of the output.
int first(const BatchNode& n) {
  if (n.axis[0] != 0 || n.out.size() > 1 || n.def.flag("dynamic", false)) return kTangled;
  for (size_t i = 1; i < n.in.size(); ++i) {
    const bool residual = i == 3 && n.axis[i] == 0 && *n.in[i] == *n.out[0];
    if (!residual && !whole(n, i)) return kTangled;
  }
  return 0;
}

int linear(const BatchNode& n) {
  const int axis = n.axis[0];
  if (axis < 0 || axis >= rank(n) - 1) return kTangled;
  if (n.def.flag("dynamic", false) && !n.def.flag("by_row", false)) return kTangled;
  for (size_t i = 1; i < n.in.size(); ++i) {
    const bool residual = i == 3 && n.axis[i] == axis && *n.in[i] == *n.out[0];
    const bool row = i >= 4 && n.axis[i] == 0 && axis == 0;
    if (!residual && !row && !whole(n, i)) return kTangled;
  }
  return n.out.size() > 1 && axis != 0 ? kTangled : axis;  // what is by row has rows only
}

int reduce(const BatchNode& n) {
  std::vector<int64_t> axes = n.def.integers("axes");
  if (has(n, 1) && !list(n, 1, &axes)) return kTangled;
  if (n.axis[0] < 0 || axes.empty()) return kTangled;
  int before = 0;
  for (const int64_t given : axes) {
    const int axis = normalize_axis(given, rank(n));
    if (axis == n.axis[0]) return kTangled;
    before += axis < n.axis[0] ? 1 : 0;
  }
  return n.def.flag("keepdims", true) ? n.axis[0] : n.axis[0] - before;
}

template <int kOtherwise>
int along(const BatchNode& n) {
  const bool apart = n.axis[0] >= 0 && whole_from(n, 1);
  return apart && attr_axis(n, kOtherwise, rank(n)) != n.axis[0] ? n.axis[0] : kTangled;
}

int arg(const BatchNode& n) {
  const int axis = along<0>(n);
  if (axis < 0 || n.def.flag("keepdims", true)) return axis;
  return attr_axis(n, 0, rank(n)) < axis ? axis - 1 : axis;
}

int layer_norm(const BatchNode& n) {
  const bool apart = n.axis[0] >= 0 && whole_from(n, 1) && n.out.size() == 1;
  return apart && n.axis[0] < attr_axis(n, -1, rank(n)) ? n.axis[0] : kTangled;
}

int transpose(const BatchNode& n) {
  const std::vector<int64_t> perm = n.def.integers("perm");
  for (int i = 0; i < rank(n); ++i) {
    const int from =
        perm.empty() ? rank(n) - 1 - i : normalize_axis(perm[static_cast<size_t>(i)], rank(n));
    if (from == n.axis[0]) return i;
  }
  return kTangled;
}

// The elements stay in their order: the batch lies behind as many as before.
int view(const BatchNode& n) {
  if (n.axis[0] < 0) return kTangled;
  const Shape& out = *n.out[0];
  const int64_t before = n.in[0]->product(0, n.axis[0]);
  for (int axis = 0; axis < out.rank(); ++axis) {
    if (out.product(0, axis) == before && out[axis] > 0 && out[axis] % n.batch == 0) return axis;
  }
  return kTangled;
}

int expand(const BatchNode& n) {
  if (n.axis[0] < 0) return kTangled;
  const int axis = n.axis[0] + n.out[0]->rank() - rank(n);
  return (*n.out[0])[axis] == (*n.in[0])[n.axis[0]] ? axis : kTangled;
}

int concat(const BatchNode& n) {
  const int axis = n.axis[0];
  if (axis < 0 || attr_axis(n, 0, rank(n)) == axis) return kTangled;
  const bool all = std::all_of(n.axis.begin(), n.axis.end(), [&](int a) { return a == axis; });
  return all ? axis : kTangled;
}

int slice(const BatchNode& n) {
  std::vector<int64_t> starts, axes, steps;
  if (n.axis[0] < 0 || !whole_from(n, 1) || !list(n, 1, &starts)) return kTangled;
  if (has(n, 3) && !list(n, 3, &axes)) return kTangled;
  if (has(n, 4) && !list(n, 4, &steps)) return kTangled;
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t given = axes.empty() ? static_cast<int64_t>(i) : axes[i];
    if (normalize_axis(given, rank(n)) == n.axis[0]) return kTangled;
  }
  return n.axis[0];
}

int pad(const BatchNode& n) {
  std::vector<int64_t> pads;
  const auto axis = static_cast<size_t>(n.axis[0]);
  if (n.axis[0] < 0 || !whole_from(n, 1) || has(n, 3) || !list(n, 1, &pads)) return kTangled;
  const bool untouched = pads[axis] == 0 && pads[axis + pads.size() / 2] == 0;
  return untouched ? n.axis[0] : kTangled;
}

int resize(const BatchNode& n) {
  const bool crops =
      n.def.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
  const bool same = n.axis[0] == 0 && (*n.in[0])[0] == (*n.out[0])[0];
  return same && !crops && whole_from(n, 1) ? 0 : kTangled;
}

int gather(const BatchNode& n) {
  const int axis = n.node.entry->name == std::string("embedding") ? 0 : attr_axis(n, 0, rank(n));
  if (n.axis[0] == kWhole) return n.axis[1] < 0 ? kTangled : axis + n.axis[1];
  if (n.axis[0] < 0 || !whole(n, 1) || n.axis[0] == axis) return kTangled;
  return n.axis[0] < axis ? n.axis[0] : n.axis[0] + rank(n, 1) - 1;
}

int matmul(const BatchNode& n) {
  if (!whole_from(n, 2)) return kTangled;
  const int all = n.out[0]->rank();
  // Rows of A are rows of the result.
  if (whole(n, 1) && n.axis[0] >= 0 && n.axis[0] == rank(n) - 2 && rank(n, 1) >= 2)
    return n.def.flag("trans_a", false) ? kTangled : all - 2;
  int at = kWhole;
  for (size_t i = 0; i < 2; ++i) {
    if (n.axis[i] == kWhole) continue;
    const int axis = n.axis[i] + all - rank(n, i);
    if (n.axis[i] < 0 || axis >= all - 2 || (at != kWhole && axis != at)) return kTangled;
    at = axis;
  }
  for (size_t i = 0; i < 2; ++i) {
    const int axis = at - (all - rank(n, i));
    if (rank(n, i) < 2 || (whole(n, i) && axis >= 0 && (*n.in[i])[axis] != 1)) return kTangled;
  }
  return at;
}

int attention(const BatchNode& n) {
  if (n.axis[0] != 0 || n.axis[1] != 0 || n.axis[2] != 0) return kTangled;
  if (!has(n, 3)) return 0;
  const bool wide = rank(n, 3) == 4;
  if (n.axis[3] == kWhole) return !wide || (*n.in[3])[0] == 1 ? 0 : kTangled;
  return n.axis[3] == 0 && wide ? 0 : kTangled;
}

// Of all outputs: [steps, directions, batch, hidden] and then [directions, batch, hidden].
int recurrent(const BatchNode& n) {
  if (n.def.flag("layout", false) || n.axis[0] != 1 || !whole_from(n, 7)) return kTangled;
  for (const size_t i : {size_t{1}, size_t{2}, size_t{3}}) {
    if (!whole(n, i)) return kTangled;
  }
  for (const size_t i : {size_t{4}, size_t{5}, size_t{6}}) {  // sequence_lens; initial states
    if (has(n, i) && n.axis[i] != (i == 4 ? 0 : 1)) return kTangled;
  }
  return 2;
}

int one_hot(const BatchNode& n) {
  if (n.axis[0] < 0 || !whole_from(n, 1)) return kTangled;
  return n.axis[0] < attr_axis(n, -1, n.out[0]->rank()) ? n.axis[0] : n.axis[0] + 1;
}

int trilu(const BatchNode& n) {
  const bool apart = n.axis[0] >= 0 && n.axis[0] < rank(n) - 2 && whole_from(n, 1);
  return apart ? n.axis[0] : kTangled;
}

struct Entry {
  Rule rule;
  std::vector<const char*> ops;
};

// An operator that is in no row may let examples meet.
const std::vector<Entry>& entries() {
  static const std::vector<Entry> kEntries = {
      {each, {"Add",      "Sub",   "Mul",         "Div",       "Pow",        "Mod",
              "Min",      "Max",   "Sum",         "Mean",      "Equal",      "Less",
              "Greater",  "And",   "LessOrEqual", "Or",        "Xor",        "GreaterOrEqual",
              "Not",      "Where", "BitwiseAnd",  "BitwiseOr", "BitwiseXor", "BitwiseNot",
              "BitShift", "PRelu", "q_table",     "q_add",     "q_mul",      "activation",
              "Abs",      "Neg",   "Relu",        "LeakyRelu", "Elu",        "Clip",
              "Sigmoid",  "Silu",  "HardSigmoid", "HardSwish", "Tanh",       "Gelu",
              "Erf",      "Exp",   "Log",         "Sqrt",      "Reciprocal", "Floor",
              "Ceil",     "Round", "Sign",        "Softplus",  "Sin",        "Cos",
              "Tan",      "Asin",  "Acos",        "Atan",      "Sinh",       "Cosh",
              "Asinh",    "Acosh", "Atanh",       "IsNaN",     "IsInf",      "Cast",
              "round_to"}},
      {scaled, {"QuantizeLinear", "DequantizeLinear"}},
      {first,
       {"conv", "Conv", "conv_bf16", "ConvInteger", "conv_transpose", "MaxPool", "AveragePool",
        "GlobalMaxPool", "GlobalAveragePool", "q_global_average_pool", "InstanceNormalization",
        "BatchNormalization", "group_norm"}},
      {linear, {"linear", "linear_bf16", "MatMulNBits"}},
      {reduce,
       {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"}},
      {along<-1>, {"Softmax", "LogSoftmax", "TopK"}},
      {along<0>, {"Split"}},
      {arg, {"ArgMax", "ArgMin"}},
      {layer_norm, {"LayerNormalization"}},
      {transpose, {"Transpose"}},
      {view, {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}},
      {expand, {"Expand"}},
      {concat, {"Concat"}},
      {slice, {"Slice"}},
      {pad, {"Pad"}},
      {resize, {"Resize"}},
      {gather, {"Gather", "embedding"}},
      {matmul, {"MatMul", "MatMulInteger"}},
      {attention, {"attention"}},
      {recurrent, {"LSTM", "GRU", "RNN", "recurrent"}},
      {one_hot, {"OneHot"}},
      {trilu, {"Trilu"}},
  };
  return kEntries;
}

Rule rule_of(const char* op) {
  for (const Entry& entry : entries()) {
    for (const char* name : entry.ops) {
      if (std::strcmp(name, op) == 0) return entry.rule;
    }
  }
  return nullptr;
}

// Inputs that say no more than what shape the result has: nobody multiplies by them.
bool decides_shape(Rule rule, size_t input) {
  return input > 0 && (rule == view || rule == expand);
}

}  // namespace

std::vector<int> batch_axes(const BatchNode& n) {
  std::vector<int> out(n.out.size(), kTangled);
  if (whole_from(n, 0)) {
    std::fill(out.begin(), out.end(), kWhole);
    return out;
  }
  const Rule rule = rule_of(n.node.entry->name);
  if (rule == nullptr || n.in.empty() || n.in[0] == nullptr) return out;
  for (size_t i = 0; i < n.in.size(); ++i) {
    if (n.axis[i] == kTangled && !decides_shape(rule, i)) return out;
  }
  const int axis = rule(n);
  std::fill(out.begin(), out.end(), axis);
  // Last states have no steps in front.
  if (rule == recurrent && axis > 0) std::fill(out.begin() + 1, out.end(), axis - 1);
  return out;
}

}  // namespace pycompress
