// Quantized and dynamic layers, from Python: scales, activation and residual around a product with
// packed weights.
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings/families.h"
#include "bindings/packed.h"
#include "engine/activation_names.h"
#include "engine/fused.h"

namespace pycompress {
namespace {

Activation need_activation(const std::string& name, std::optional<float> alpha,
                           std::optional<float> beta) {
  Activation activation;
  activation.op = unary_of(name);
  const UnaryDefaults defaults = unary_defaults(activation.op);
  activation.alpha = alpha.value_or(defaults.alpha);
  activation.beta = beta.value_or(defaults.beta);
  return activation;
}

float divided(double a, double b) { return static_cast<float>(a / b); }

struct Residual {
  py::array array;
  Matrix matrix;
};

// Applies what an epilogue cannot: `sums` become act(sums + integer residual), then integers if y
// is one.
void finish(const KernelSet& set, const Activation& activation, float y_scale, int32_t y_zero,
            const Residual& residual, float residual_scale, int32_t residual_zero, float* sums,
            int64_t ld, const Matrix& y, ThreadPool* pool) {
  const int64_t n = y.columns;
  parallel_for(y.rows * n < 20'000 ? nullptr : pool, y.rows, [&](int64_t row, int) {
    float* x = sums + row * ld;
    if (residual.matrix.data != nullptr && y.type != Type::f32) {
      const auto* bytes =
          reinterpret_cast<const uint8_t*>(residual.matrix.data) + row * residual.matrix.ld;
      for (int64_t i = 0; i < n; ++i) {
        const int32_t q = y.type == Type::u8 ? bytes[i] : static_cast<int8_t>(bytes[i]);
        x[i] += static_cast<float>(q - residual_zero) * residual_scale;
      }
    }
    set.pointwise->unary(activation.op, x, n, activation.alpha, activation.beta, x);
    if (y.type == Type::u8) {
      set.quantize->to_u8(x, n, &y_scale, &y_zero, 0,
                          reinterpret_cast<uint8_t*>(y.data) + row * y.ld);
    } else if (y.type == Type::s8) {
      set.quantize->to_s8(x, n, &y_scale, &y_zero, 0,
                          reinterpret_cast<int8_t*>(y.data) + row * y.ld);
    }
  });
}

Residual need_residual(const char* function, py::handle value, const Result& y) {
  Residual r;
  if (value.is_none()) return r;
  r.array = need_array(function, "residual", value);
  if (type_of(r.array) != y.matrix.type) {
    throw py::type_error(std::string(function) + ": residual has dtype " + dtype_of(r.array) +
                         ", wanted that of the result, " + name_of(y.matrix.type));
  }
  if (r.array.ndim() != y.array.ndim() ||
      !std::equal(y.array.shape(), y.array.shape() + y.array.ndim(), r.array.shape())) {
    throw py::value_error(std::string(function) + ": residual has shape " + shape_of(r.array) +
                          ", wanted that of the result, " + shape_of(y.array));
  }
  r.matrix = need_matrix(function, "residual", r.array);
  return r;
}

// What becomes of the sums: Python keeps these, so that a call has few arguments to convert.
struct Output {
  std::optional<double> scale;
  int64_t zero_point;
  std::string dtype;
  Activation activation;
  double residual_scale;
  int64_t residual_zero;
};

Type output_type(const char* function, const Output& output) {
  if (!output.scale) return Type::f32;
  if (output.dtype == "uint8") return Type::u8;
  if (output.dtype == "int8") return Type::s8;
  throw py::value_error(std::string(function) + ": y_dtype must be 'uint8' or 'int8', found '" +
                        output.dtype + "'");
}

py::array qlinear(const py::array& a, const PackedWeights& w, py::handle a_scale,
                  py::handle a_zero_point, const Output& output, py::handle residual,
                  py::handle out) {
  const char* function = "qlinear";
  const Activation& activation = output.activation;
  const Matrix in = need_integers(function, "a", a, w);
  if (w.scale.empty()) throw py::value_error("qlinear: the weights were packed without a scale");
  Epilogue e;
  const Terms terms(
      w, in, need_zero_points(function, "a_zero_point", a_zero_point, in.type, in.rows, "row of a"),
      e);
  const Type type = output_type(function, output);
  Result y = result_for(function, a, in, w.panels.n, type, out);
  const Residual extra = need_residual(function, residual, y);

  const float y_scale = output.scale ? need_scale(function, "y_scale", *output.scale) : 1.0f;
  const int32_t y_zero =
      type == Type::f32 ? 0 : need_zero_point(function, "y_zero_point", output.zero_point, type);
  const bool finishes = !activation.clamps();
  const double unit = finishes ? 1.0 : static_cast<double>(y_scale);
  double x_scale = 1.0;
  std::vector<float> row_scale;
  if (PyFloat_Check(a_scale.ptr()) || PyLong_Check(a_scale.ptr())) {
    x_scale = static_cast<double>(need_scale(function, "a_scale", a_scale.cast<double>()));
  } else {
    row_scale = need_floats(function, "a_scale", a_scale, in.rows, "row of a");
    if (row_scale.empty()) throw py::type_error("qlinear: a_scale is None");
    for (const float s : row_scale) need_scale(function, "a_scale", static_cast<double>(s));
    if (py::array(py::reinterpret_borrow<py::object>(a_scale)).size() == 1) {
      x_scale = static_cast<double>(row_scale[0]);
    } else {
      e.row_scale = row_scale.data();
    }
  }
  thread_local std::vector<float> scale, bias;  // an allocation costs as much as a small product
  scale.resize(w.scale.size());
  bias.resize(w.bias.size());
  for (size_t i = 0; i < scale.size(); ++i)
    scale[i] = divided(x_scale * static_cast<double>(w.scale[i]), unit);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = divided(static_cast<double>(w.bias[i]), unit);
  e.scale = scale.data();
  e.bias = bias.empty() ? nullptr : bias.data();
  if (!finishes) {
    e.lo = divided(static_cast<double>(activation.lo()), unit);
    e.hi = divided(static_cast<double>(activation.hi()), unit);
  }
  e.out = finishes || type == Type::f32 ? Out::f32 : (type == Type::u8 ? Out::u8 : Out::s8);
  e.out_zero = y_zero;
  const int32_t extra_zero = type == Type::f32 ? 0
                                               : need_zero_point(function, "residual_zero_point",
                                                                 output.residual_zero, type);
  const float extra_scale = divided(
      static_cast<double>(need_scale(function, "residual_scale", output.residual_scale)), unit);
  if (extra.matrix.data != nullptr && (type == Type::f32 || !finishes)) {
    e.residual = extra.matrix.data;
    e.residual_ld = extra.matrix.ld;
    e.residual_scale = extra_scale;
    e.residual_zero = extra_zero;
  }
  const KernelSet& set = *w.panels.set;
  without_gil(worth_release(in, w), [&](ThreadPool* pool) {
    if (!finishes) {
      gemm(operand(in), w.panels, in.rows, e, y.matrix.data, y.matrix.ld, pool);
      return;
    }
    std::vector<float> room;
    float* sums = reinterpret_cast<float*>(y.matrix.data);
    int64_t ld = y.matrix.ld;
    if (type != Type::f32) {
      room.resize(static_cast<size_t>(in.rows * w.panels.n));
      sums = room.data();
      ld = w.panels.n;
    }
    gemm(operand(in), w.panels, in.rows, e, sums, ld, pool);
    finish(set, activation, y_scale, y_zero, extra, extra_scale, extra_zero, sums, ld, y.matrix,
           pool);
  });
  return y.array;
}

// act(x . w + bias) for float32 x: with float32 weights in float, with integer ones through uint8 x
// whose scale and zero point follow from its range, as in ONNX DynamicQuantizeLinear.
py::array linear(const py::array& x, const PackedWeights& w, const Activation& activation,
                 py::handle out) {
  const char* function = "linear";
  const Matrix in = need_operand(function, "x", x, w);
  if (in.type != Type::f32) {
    throw py::type_error("linear: x has dtype " + dtype_of(x) + ", wanted float32");
  }
  if (!w.panels.is_float && w.scale.empty())
    throw py::value_error("linear: the weights were packed without a scale");
  if (!w.panels.is_float && in.rows > 1 && in.ld != in.columns) {
    throw py::value_error("linear: x of shape " + shape_of(x) +
                          " is not C-contiguous; make it so with numpy.ascontiguousarray");
  }
  Result y = result_for(function, x, in, w.panels.n, Type::f32, out);
  Epilogue e;
  e.out = Out::f32;
  e.bias = w.bias.empty() ? nullptr : w.bias.data();
  const bool finishes = !activation.clamps();
  if (!finishes) {
    e.lo = activation.lo();
    e.hi = activation.hi();
  }
  const KernelSet& set = *w.panels.set;
  without_gil(worth_release(in, w), [&](ThreadPool* pool) {
    if (w.panels.is_float) {
      gemm(operand(in), w.panels, in.rows, e, y.matrix.data, y.matrix.ld, pool);
    } else {
      thread_local std::vector<uint8_t> bytes;
      thread_local std::vector<float> scale;
      thread_local std::vector<int32_t> init;
      bytes.resize(static_cast<size_t>(in.rows * in.columns) +
                   64);  // a tail in depth may read past the end
      scale.resize(w.scale.size());
      init.resize(w.scale.size());
      const DynamicScale dynamic = quantize_dynamic(
          set, pool, reinterpret_cast<const float*>(in.data), in.rows * in.columns, bytes.data());
      for (size_t i = 0; i < scale.size(); ++i) {
        scale[i] = static_cast<float>(static_cast<double>(dynamic.scale) *
                                      static_cast<double>(w.scale[i]));
      }
      gemm_init(w.panels, dynamic.zero, false, nullptr, init.data());
      e.scale = scale.data();
      e.init = init.data();
      MatrixA a;
      a.data = bytes.data();
      a.lda = in.columns;
      a.readable_tail = true;
      gemm(a, w.panels, in.rows, e, y.matrix.data, y.matrix.ld, pool);
    }
    if (finishes) {
      finish(set, activation, 1.0f, 0, Residual{}, 1.0f, 0, reinterpret_cast<float*>(y.matrix.data),
             y.matrix.ld, y.matrix, pool);
    }
  });
  return y.array;
}

}  // namespace

void bind_linear(py::module_& module) {
  py::class_<Activation>(module, "Activation")
      .def(py::init(&need_activation), py::arg("name"), py::arg("alpha") = py::none(),
           py::arg("beta") = py::none());
  py::class_<Output>(module, "Output")
      .def(py::init([](std::optional<double> scale, int64_t zero_point, std::string dtype,
                       const Activation& activation, double residual_scale, int64_t residual_zero) {
             return Output{scale,      zero_point,     std::move(dtype),
                           activation, residual_scale, residual_zero};
           }),
           py::arg("scale"), py::arg("zero_point"), py::arg("dtype"), py::arg("activation"),
           py::arg("residual_scale"), py::arg("residual_zero_point"));
  module.def("qlinear", &qlinear, py::arg("a"), py::arg("packed"), py::arg("a_scale"),
             py::arg("a_zero_point"), py::arg("output"), py::arg("residual"), py::arg("out"));
  module.def("linear", &linear, py::arg("x"), py::arg("packed"), py::arg("activation"),
             py::arg("out"));
}

}  // namespace pycompress
