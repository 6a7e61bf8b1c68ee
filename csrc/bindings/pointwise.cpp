// The pointwise kernels one by one, from Python.
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "dispatch/dispatch.h"
#include "engine/activation_names.h"

namespace py = pybind11;

namespace pycompress {
namespace {

constexpr std::pair<const char*, Binary> kBinary[] = {
    {"add", Binary::add}, {"sub", Binary::sub}, {"mul", Binary::mul}, {"div", Binary::div},
    {"min", Binary::min}, {"max", Binary::max}, {"pow", Binary::pow},
};
constexpr std::pair<const char*, Reduce> kReduce[] = {
    {"sum", Reduce::sum},         {"max", Reduce::max},
    {"min", Reduce::min},         {"sum_square", Reduce::sum_square},
    {"sum_abs", Reduce::sum_abs},
};

template <typename Rows>
auto find(const char* function, const Rows& rows, const std::string& name) {
  std::string names;
  for (const auto& row : rows) {
    if (name == row.first) return row.second;
    names += std::string(names.empty() ? "" : ", ") + row.first;
  }
  throw py::value_error(std::string(function) + ": op is '" + name + "', wanted one of " + names);
}

float* floats(py::array& x) { return static_cast<float*>(x.mutable_data()); }

py::array unary(const std::string& op, const py::array& x, float alpha, float beta,
                py::handle out) {
  const auto* data = need<float>("unary: x", x);
  const Unary function = unary_of(op);
  py::array result = need_out<float>("unary: out", out, shape_vector(x));
  need_apart("unary: out", result, "x", x, true);
  float* y = floats(result);
  const KernelSet& set = active_set();
  run_body(x.size(),
           [&](ThreadPool*) { set.pointwise->unary(function, data, x.size(), alpha, beta, y); });
  return result;
}

// Equal shapes, or one element for all on either side.
py::array binary(const std::string& op, const py::array& a, const py::array& b, py::handle out) {
  const auto* left = need<float>("binary: a", a);
  const bool a_one = a.ndim() == 0;
  const bool b_one = b.ndim() == 0;
  const auto* right =
      a_one || b_one ? need<float>("binary: b", b) : need<float>("binary: b", b, shape_vector(a));
  const Binary function = find("binary", kBinary, op);
  const Extents shape = shape_vector(a_one ? b : a);
  py::array result = need_out<float>("binary: out", out, shape);
  need_apart("binary: out", result, "a", a, true);
  need_apart("binary: out", result, "b", b, true);
  float* y = floats(result);
  const KernelSet& set = active_set();
  run_body(result.size(), [&](ThreadPool*) {
    set.pointwise->binary(function, left, a_one ? 0 : 1, right, b_one ? 0 : 1, result.size(), y);
  });
  return result;
}

float reduce(const std::string& op, const py::array& x) {
  const auto* data = need<float>("reduce: x", x);
  return active_set().pointwise->reduce(find("reduce", kReduce, op), data, x.size());
}

// acc = op(acc, x), element by element.
void reduce_rows(const std::string& op, const py::array& x, py::array acc) {
  const auto* data = need<float>("reduce_rows: x", x);
  need_out<float>("reduce_rows: acc", acc, shape_vector(x));
  need_apart("reduce_rows: acc", acc, "x", x, false);
  active_set().pointwise->reduce_rows(find("reduce_rows", kReduce, op), data, x.size(),
                                      floats(acc));
}

int64_t last(const char* name, const py::array& x) {
  if (x.ndim() > 0) return x.shape(x.ndim() - 1);
  throw py::value_error(std::string(name) + " is a scalar, wanted [..., N]");
}

py::array softmax(const py::array& x, py::handle out) {
  const auto* data = need<float>("softmax: x", x);
  const int64_t n = last("softmax: x", x);
  py::array result = need_out<float>("softmax: out", out, shape_vector(x));
  need_apart("softmax: out", result, "x", x, true);
  float* y = floats(result);
  const KernelSet& set = active_set();
  run_body(x.size(),
           [&](ThreadPool*) { set.pointwise->softmax(data, n == 0 ? 0 : x.size() / n, n, n, y); });
  return result;
}

py::array layer_norm(const py::array& x, const std::optional<py::array>& gamma,
                     const std::optional<py::array>& beta, float eps, py::handle out) {
  const auto* data = need<float>("layer_norm: x", x);
  const int64_t n = last("layer_norm: x", x);
  const float* scale = gamma ? need<float>("layer_norm: gamma", *gamma, {n}) : nullptr;
  const float* shift = beta ? need<float>("layer_norm: beta", *beta, {n}) : nullptr;
  py::array result = need_out<float>("layer_norm: out", out, shape_vector(x));
  need_apart("layer_norm: out", result, "x", x, true);
  float* y = floats(result);
  const KernelSet& set = active_set();
  run_body(x.size(), [&](ThreadPool*) {
    set.pointwise->layer_norm(data, n == 0 ? 0 : x.size() / n, n, n, scale, shift, eps, y);
  });
  return result;
}

bool need_bytes(const char* name, const py::array& x) {
  if (!has_dtype<int8_t>(x) && !has_dtype<uint8_t>(x)) {
    throw py::type_error(std::string(name) + " has dtype " + dtype_text(x) +
                         ", wanted uint8 or int8");
  }
  need_contiguous(name, x);
  return has_dtype<int8_t>(x);
}

py::array table(const py::array& x, const py::array& table256, py::handle out) {
  need_bytes("table: x", x);
  const auto* entries = need<uint8_t>("table: table", table256, {256});
  py::array result = need_out<uint8_t>("table: out", out, shape_vector(x));
  need_apart("table: out", result, "x", x, true);
  const auto* in = static_cast<const uint8_t*>(x.data());
  auto* y = static_cast<uint8_t*>(result.mutable_data());
  const KernelSet& set = active_set();
  run_body(x.size(), [&](ThreadPool*) { set.pointwise->table(in, x.size(), entries, y); });
  return result;
}

py::array add_q8(const py::array& a, const py::array& b, float a_scale, float b_scale,
                 int32_t a_zero, int32_t b_zero, int32_t y_zero, float lo, float hi,
                 py::handle out) {
  const bool is_signed = need_bytes("add_q8: a", a);
  const Extents shape = shape_vector(a);
  is_signed ? static_cast<void>(need<int8_t>("add_q8: b", b, shape))
            : static_cast<void>(need<uint8_t>("add_q8: b", b, shape));
  for (const int32_t zero : {a_zero, b_zero, y_zero}) {
    if (zero >= (is_signed ? -128 : 0) && zero <= (is_signed ? 127 : 255)) continue;
    throw py::value_error("add_q8: zero point " + std::to_string(zero) + " is outside of " +
                          dtype_text(a));
  }
  py::array result = is_signed ? need_out<int8_t>("add_q8: out", out, shape)
                               : need_out<uint8_t>("add_q8: out", out, shape);
  need_apart("add_q8: out", result, "a", a, true);
  need_apart("add_q8: out", result, "b", b, true);
  const PointwiseKernels::AddArgs args{a_scale, b_scale, a_zero, b_zero, y_zero, lo, hi, is_signed};
  void* y = result.mutable_data();
  const KernelSet& set = active_set();
  run_body(a.size(),
           [&](ThreadPool*) { set.pointwise->add_q8(args, a.data(), b.data(), a.size(), y); });
  return result;
}

// acc = max(acc, x), bytes of one signedness.
void max_q8(const py::array& x, py::array acc) {
  const Extents shape = shape_vector(x);
  if (need_bytes("max_q8: x", x)) {
    need_out<int8_t>("max_q8: acc", acc, shape);
    active_set().pointwise->max_s8(static_cast<const int8_t*>(x.data()), x.size(),
                                   static_cast<int8_t*>(acc.mutable_data()));
  } else {
    need_out<uint8_t>("max_q8: acc", acc, shape);
    active_set().pointwise->max_u8(static_cast<const uint8_t*>(x.data()), x.size(),
                                   static_cast<uint8_t*>(acc.mutable_data()));
  }
}

// acc += x, in int32.
void sum_q8(const py::array& x, py::array acc) {
  const bool is_signed = need_bytes("sum_q8: x", x);
  need_out<int32_t>("sum_q8: acc", acc, shape_vector(x));
  auto* sums = static_cast<int32_t*>(acc.mutable_data());
  if (is_signed) {
    active_set().pointwise->sum_s8(static_cast<const int8_t*>(x.data()), x.size(), sums);
  } else {
    active_set().pointwise->sum_u8(static_cast<const uint8_t*>(x.data()), x.size(), sums);
  }
}

// weight * scale along an axis, multiplied in float64 and rounded once, and whether it is finite.
py::tuple scaled(const py::array& weight, const py::array& scale, py::ssize_t axis) {
  const auto* from = need<float>("weight", weight);
  if (axis < 0 || axis >= weight.ndim()) {
    throw py::value_error("axis " + std::to_string(axis) + " is none of weight's, of shape " +
                          shape_text(weight));
  }
  const auto* factors = need<double>("scale", scale, {weight.shape(axis)});
  py::ssize_t outer = 1;
  py::ssize_t inner = 1;
  for (py::ssize_t i = 0; i < axis; ++i) outer *= weight.shape(i);
  for (py::ssize_t i = axis + 1; i < weight.ndim(); ++i) inner *= weight.shape(i);
  py::array_t<float> made(shape_vector(weight));
  float* to = made.mutable_data();
  double worst = 0;  // x * 0 is 0 for what is finite, NaN for what is not
  for (py::ssize_t i = 0; i < outer; ++i) {
    for (py::ssize_t c = 0; c < weight.shape(axis); ++c) {
      const double factor = factors[c];
      for (py::ssize_t k = 0; k < inner; ++k) {
        to[k] = static_cast<float>(static_cast<double>(from[k]) * factor);
      }
      for (py::ssize_t k = 0; k < inner; ++k) worst += static_cast<double>(to[k]) * 0.0;
      from += inner;
      to += inner;
    }
  }
  return py::make_tuple(made, worst == 0.0);
}

}  // namespace

void bind_pointwise(py::module_& module) {
  module.def("scaled", &scaled, py::arg("weight"), py::arg("scale"), py::arg("axis"),
             "weight * scale along an axis, rounded once from float64; whether it is finite.");
  const auto none = py::arg("out") = py::none();
  module.def("unary", &unary, py::arg("op"), py::arg("x"), py::arg("alpha") = 0.0f,
             py::arg("beta") = 0.0f, none);
  module.def("binary", &binary, py::arg("op"), py::arg("a"), py::arg("b"), none);
  module.def("reduce", &reduce, py::arg("op"), py::arg("x"));
  module.def("reduce_rows", &reduce_rows, py::arg("op"), py::arg("x"), py::arg("acc"));
  module.def("softmax", &softmax, py::arg("x"), none);
  module.def("layer_norm", &layer_norm, py::arg("x"), py::arg("gamma") = py::none(),
             py::arg("beta") = py::none(), py::arg("eps") = 1e-5f, none);
  module.def("table", &table, py::arg("x"), py::arg("table"), none);
  module.def("add_q8", &add_q8, py::arg("a"), py::arg("b"), py::arg("a_scale"), py::arg("b_scale"),
             py::arg("a_zero"), py::arg("b_zero"), py::arg("y_zero"), py::arg("lo"), py::arg("hi"),
             none);
  module.def("max_q8", &max_q8, py::arg("x"), py::arg("acc"));
  module.def("sum_q8", &sum_q8, py::arg("x"), py::arg("acc"));
}

}  // namespace pycompress
