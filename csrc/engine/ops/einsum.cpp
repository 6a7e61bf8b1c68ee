// Einsum: sums of products over named axes. What a MatMul can do has become one before; this is the
// definition, for all that is left.
#include <algorithm>
#include <map>

#include "engine/elementwise.h"
#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// Axes that an ellipsis stands for are numbers, from its end: -1, -2 ... Letters are themselves.
using Labels = std::vector<int>;

struct EinsumState final : OpState {
  std::vector<int64_t> out_dims, sum_dims;
  std::vector<std::vector<int64_t>> out_strides, sum_strides;  // of each input
};

std::string without_spaces(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ') out += c;
  }
  return out;
}

class Einsum final : public Op {
 public:
  explicit Einsum(const NodeDef& node) : equation_(without_spaces(node.text("equation", ""))) {
    const size_t arrow = equation_.find("->");
    explicit_ = arrow != std::string::npos;
    if (explicit_) out_ = checked(equation_.substr(arrow + 2));
    const std::string left = equation_.substr(0, arrow);
    size_t begin = 0;
    while (begin <= left.size()) {
      const size_t end = std::min(left.find(',', begin), left.size());
      terms_.push_back(checked(left.substr(begin, end - begin)));
      begin = end + 1;
    }
    if (static_cast<int>(terms_.size()) != node.inputs())
      fail("attribute 'equation' " + equation_ + " has " +
           str(static_cast<int64_t>(terms_.size())) + " terms for " + str(node.inputs()) +
           " inputs");
  }

  std::unique_ptr<OpState> plan(PlanContext& plan) const override {
    if (plan.dtype(0) == DType::b8) fail("input 0 cannot be bool");
    std::map<int, int64_t> sizes;
    std::vector<Labels> inputs;
    int most_dots = 0;
    for (int i = 0; i < plan.inputs(); ++i) {
      plan.need_dtype(i, plan.dtype(0), "an operand");
      const Shape& shape = plan.shape(i);
      int dots = 0;
      inputs.push_back(labels(terms_[static_cast<size_t>(i)], shape.rank(), &dots));
      most_dots = std::max(most_dots, dots);
      for (int axis = 0; axis < shape.rank(); ++axis) {
        const int label = inputs.back()[static_cast<size_t>(axis)];
        const auto [known, is_new] = sizes.emplace(label, shape[axis]);
        if (is_new || known->second == shape[axis]) continue;
        if (known->second != 1 && shape[axis] != 1)
          fail("an axis of equation " + equation_ + " is " + str(known->second) + " and " +
               str(shape[axis]) + " long");
        if (known->second == 1) known->second = shape[axis];
      }
    }
    const Labels out = explicit_ ? labels(out_, -1, &most_dots) : implied(inputs, most_dots);
    auto state = std::make_unique<EinsumState>();
    Shape shape;
    for (const int label : out) {
      if (sizes.count(label) == 0)
        fail("equation " + equation_ + " gives an axis that no input has");
      if (std::count(out.begin(), out.end(), label) != 1)
        fail("equation " + equation_ + " gives an axis twice");
      shape.push(sizes[label]);
      state->out_dims.push_back(sizes[label]);
    }
    Labels summed;
    for (const auto& [label, size] : sizes) {
      if (std::find(out.begin(), out.end(), label) != out.end()) continue;
      summed.push_back(label);
      state->sum_dims.push_back(size);
    }
    for (int i = 0; i < plan.inputs(); ++i) {
      const Labels& own = inputs[static_cast<size_t>(i)];
      state->out_strides.push_back(strides_of(own, plan.shape(i), out));
      state->sum_strides.push_back(strides_of(own, plan.shape(i), summed));
    }
    plan.output(0, plan.dtype(0), shape);
    return state;
  }

  void run(const RunContext& run) const override {
    const auto& state = run.state<EinsumState>();
    const int64_t n = run.output(0).elements();
    double cost = 8.0;
    for (const int64_t dim : state.sum_dims) cost *= static_cast<double>(std::max<int64_t>(dim, 1));
    dispatch(run.output(0).dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (!std::is_same_v<T, bool>) {
        // Integers wrap around.
        using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
        parallel_ranges(run.pool(), n, cost, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i)
            run.output(0).as<T>()[i] = static_cast<T>(sum<T, Sum>(run, state, i));
        });
      }
    });
  }

 private:
  // A term: letters, and an ellipsis at most once.
  static std::string checked(const std::string& term) {
    const size_t dots = term.find("...");
    std::string letters = term;
    if (dots != std::string::npos) letters.erase(dots, 3);
    for (const char c : letters) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!letter) fail("attribute 'equation' has '" + term + "', which is not a term");
    }
    return term;
  }

  // rank -1: the term of the result, whose ellipsis stands for `dots` axes.
  Labels labels(const std::string& term, int rank, int* dots) const {
    const size_t at = term.find("...");
    const auto letters = static_cast<int>(term.size()) - (at == std::string::npos ? 0 : 3);
    const int hidden = at == std::string::npos ? 0 : rank < 0 ? *dots : rank - letters;
    if (hidden < 0 || (rank >= 0 && hidden + letters != rank))
      fail("term '" + term + "' of equation " + equation_ + " does not fit an input of " +
           str(rank) + " dimensions");
    *dots = hidden;
    Labels all;
    for (size_t i = 0; i < term.size(); ++i) {
      if (i == at) {
        for (int k = hidden; k > 0; --k) all.push_back(-k);
        i += 2;
      } else {
        all.push_back(term[i]);
      }
    }
    return all;
  }

  // Without an arrow: the ellipsis, then in alphabetical order the letters that occur once.
  static Labels implied(const std::vector<Labels>& inputs, int dots) {
    std::map<int, int> counts;
    for (const Labels& own : inputs) {
      for (const int label : own) ++counts[label];
    }
    Labels out;
    for (int k = dots; k > 0; --k) out.push_back(-k);
    for (const auto& [label, count] : counts) {
      if (label > 0 && count == 1) out.push_back(label);
    }
    return out;
  }

  // Steps of an input along these axes; an axis that occurs twice is its diagonal.
  static std::vector<int64_t> strides_of(const Labels& own, const Shape& shape,
                                         const Labels& axes) {
    int64_t strides[kMaxRank];
    row_major_strides(shape, strides);
    std::vector<int64_t> result;
    for (const int label : axes) {
      int64_t step = 0;
      for (int i = 0; i < shape.rank(); ++i) {
        if (own[static_cast<size_t>(i)] == label && shape[i] != 1) step += strides[i];
      }
      result.push_back(step);
    }
    return result;
  }

  template <typename T, typename Sum>
  static Sum sum(const RunContext& run, const EinsumState& state, int64_t i) {
    const auto inputs = static_cast<size_t>(run.inputs());
    std::vector<int64_t> at(inputs, 0);
    for (size_t d = state.out_dims.size(); d-- > 0; i /= state.out_dims[d]) {
      for (size_t k = 0; k < inputs; ++k) at[k] += i % state.out_dims[d] * state.out_strides[k][d];
    }
    if (std::find(state.sum_dims.begin(), state.sum_dims.end(), 0) != state.sum_dims.end())
      return 0;
    std::vector<int64_t> index(state.sum_dims.size(), 0);
    Sum total = 0;
    for (;;) {
      Sum product = 1;
      for (size_t k = 0; k < inputs; ++k)
        product = static_cast<Sum>(product *
                                   static_cast<Sum>(run.input(static_cast<int>(k)).as<T>()[at[k]]));
      total = static_cast<Sum>(total + product);
      size_t d = state.sum_dims.size();
      while (d > 0) {
        --d;
        for (size_t k = 0; k < inputs; ++k) at[k] += state.sum_strides[k][d];
        if (++index[d] < state.sum_dims[d]) break;
        for (size_t k = 0; k < inputs; ++k) at[k] -= state.sum_strides[k][d] * state.sum_dims[d];
        index[d] = 0;
        if (d == 0) return total;
      }
      if (state.sum_dims.empty()) return total;
    }
  }

  std::string equation_;
  bool explicit_ = false;
  std::string out_;
  std::vector<std::string> terms_;
};

}  // namespace

OpPtr make_einsum(const NodeDef& node) { return std::make_unique<Einsum>(node); }

}  // namespace pycompress
