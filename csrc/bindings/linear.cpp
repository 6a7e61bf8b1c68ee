// Quantized and dynamic layers, from Python: scales, activation and residual around a product with
// packed weights.
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings/direct.h"
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

// Applies what an epilogue cannot: `sums` become act(sums + integer residual), then integers if y
// is one.
void finish(const KernelSet& set, const Activation& activation, float y_scale, int32_t y_zero,
            const Matrix& residual, float residual_scale, int32_t residual_zero, float* sums,
            int64_t ld, const Matrix& y, ThreadPool* pool) {
  const int64_t n = y.columns;
  parallel_for(y.rows * n < 20'000 ? nullptr : pool, y.rows, [&](int64_t row, int) {
    float* x = sums + row * ld;
    if (residual.data != nullptr && y.type != Type::f32) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(residual.data) + row * residual.ld;
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

Matrix need_residual(const char* function, py::handle value, const Result& y) {
  if (value.is_none()) return {};
  const py::array array = need_array(function, "residual", value);
  if (type_of(array) != y.matrix.type) {
    throw py::type_error(std::string(function) + ": residual has dtype " + dtype_of(array) +
                         ", wanted that of the result, " + name_of(y.matrix.type));
  }
  if (array.ndim() != y.array.ndim() ||
      !std::equal(y.array.shape(), y.array.shape() + y.array.ndim(), array.shape())) {
    throw py::value_error(std::string(function) + ": residual has shape " + shape_of(array) +
                          ", wanted that of the result, " + shape_of(y.array));
  }
  return need_matrix(function, "residual", array);
}

// None, or an Activation.
Activation activation_of(py::handle value) {
  return value.is_none() ? Activation{} : value.cast<const Activation&>();
}

py::object qlinear(PyObject* const* args) {
  const char* function = "qlinear";
  const py::array a = need_array(function, "a", args[0]);
  const PackedWeights& w = need_packed(function, args[1]);
  const py::handle a_scale = args[2];
  const py::handle a_zero_point = args[3];
  const bool scaled = args[4] != Py_None;
  const Activation activation = activation_of(args[7]);
  const py::handle out = args[11];
  const Matrix in = need_integers(function, "a", a, w);
  if (w.scale.empty()) throw py::value_error("qlinear: the weights were packed without a scale");
  Epilogue e;
  const Terms terms(
      w, in, need_zero_points(function, "a_zero_point", a_zero_point, in.type, in.rows, "row of a"),
      e);
  const Type type = scaled ? need_output_type(function, args[6]) : Type::f32;
  Result y = result_for(function, a, in, w.panels.n, type, out);
  const Matrix extra = need_residual(function, args[8], y);

  float y_scale = 1.0f;
  int32_t y_zero = 0;
  int32_t extra_zero = 0;
  if (scaled) {
    y_scale = need_scale(function, "y_scale", need_number(function, "y_scale", args[4]));
    y_zero = need_zero_point(function, "y_zero_point",
                             need_integer(function, "y_zero_point", args[5]), type);
    extra_zero = need_zero_point(function, "residual_zero_point",
                                 need_integer(function, "residual_zero_point", args[10]), type);
  }
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
  const float residual_scale =
      need_scale(function, "residual_scale", need_number(function, "residual_scale", args[9]));
  const float extra_scale = divided(static_cast<double>(residual_scale), unit);
  if (extra.data != nullptr && (type == Type::f32 || !finishes)) {
    e.residual = extra.data;
    e.residual_ld = extra.ld;
    e.residual_scale = extra_scale;
    e.residual_zero = extra_zero;
  }
  e.clamp = clamp_of(e, w.panels.n);
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
py::object linear(PyObject* const* args) {
  const char* function = "linear";
  const py::array x = need_array(function, "x", args[0]);
  const PackedWeights& w = need_packed(function, args[1]);
  const Activation activation = activation_of(args[2]);
  const py::handle out = args[3];
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
      const DynamicScale dynamic = quantize_dynamic(
          set, pool, reinterpret_cast<const float*>(in.data), in.rows * in.columns, bytes.data());
      const float* w_scale = w.scale.data();
      for (size_t i = 0; i < w.scale.size(); ++i) scale[i] = dynamic.scale * w_scale[i];
      e.scale = scale.data();
      if (in.rows == 1) {
        e.row_zero = &dynamic.zero;  // the tile's only row: filling init[] would take longer
      } else {
        init.resize(w.scale.size());
        gemm_init(w.panels, dynamic.zero, false, nullptr, init.data());
        e.init = init.data();
      }
      MatrixA a;
      a.data = bytes.data();
      a.lda = in.columns;
      a.readable_tail = true;
      gemm(a, w.panels, in.rows, e, y.matrix.data, y.matrix.ld, pool);
    }
    if (finishes) {
      finish(set, activation, 1.0f, 0, Matrix{}, 1.0f, 0, reinterpret_cast<float*>(y.matrix.data),
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
  static PyMethodDef functions[] = {
      direct<12, qlinear>(
          "qlinear",
          "qlinear(a: numpy.ndarray, packed: PackedWeights, a_scale: typing.Any, a_zero_point: "
          "typing.Any, y_scale: typing.Any, y_zero_point: typing.Any, y_dtype: str, activation: "
          "Activation | None, residual: typing.Any, residual_scale: typing.Any, "
          "residual_zero_point: typing.Any, out: typing.Any) -> numpy.ndarray"),
      direct<4, linear>("linear",
                        "linear(x: numpy.ndarray, packed: PackedWeights, activation: Activation | "
                        "None, out: typing.Any) -> numpy.ndarray"),
      {}};
  add_direct(module, functions);
}

}  // namespace pycompress
