// Packed weights and the products with them, from Python. Checks here; kernels trust.
#include "gemm/gemm.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>

#include "bindings/families.h"
#include "dispatch/dispatch.h"
#include "engine/activation_names.h"
#include "engine/fused.h"

namespace py = pybind11;

namespace pycompress {
namespace {

struct PackedWeights {
  PackedB panels;
  std::string dtype;
  std::vector<float> scale;  // [N], or empty
  std::vector<float> bias;   // [N], or empty
};

enum class Type { u8, s8, s32, f32, other };

Type type_of(const py::array& x) {
  switch (x.dtype().num()) {
    case py::detail::npy_api::NPY_UBYTE_:
      return Type::u8;
    case py::detail::npy_api::NPY_BYTE_:
      return Type::s8;
    case py::detail::npy_api::NPY_INT_:
      return Type::s32;
    case py::detail::npy_api::NPY_FLOAT_:
      return Type::f32;
    default:
      return x.dtype().equal(py::dtype::of<int32_t>()) ? Type::s32 : Type::other;
  }
}

const char* name_of(Type type) {
  constexpr const char* kNames[] = {"uint8", "int8", "int32", "float32", "other"};
  return kNames[static_cast<int>(type)];
}

std::string dtype_of(const py::array& x) { return py::str(x.dtype()).cast<std::string>(); }

std::string shape_of(const py::array& x) { return py::str(x.attr("shape")).cast<std::string>(); }

py::array need_array(const char* function, const char* name, py::handle value) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value);
  throw py::type_error(std::string(function) + ": " + name + " must be a NumPy array, found " +
                       Py_TYPE(value.ptr())->tp_name);
}

// An array [..., columns] seen as a matrix: rows may lie apart only when there are two dimensions.
struct Matrix {
  char* data = nullptr;
  int64_t rows = 1, columns = 0, ld = 0;  // ld in elements
  Type type = Type::other;

  bool overlaps(const Matrix& other) const;
};

int64_t size_of(Type type) { return type == Type::s32 || type == Type::f32 ? 4 : 1; }

bool Matrix::overlaps(const Matrix& other) const {
  if (rows == 0 || columns == 0 || other.rows == 0 || other.columns == 0) return false;
  auto ends = [](const Matrix& x) {
    const char* first = x.data;
    const char* last = x.data + (x.rows - 1) * x.ld * size_of(x.type);
    if (last < first) std::swap(first, last);
    return std::make_pair(first, last + x.columns * size_of(x.type));
  };
  const auto mine = ends(*this);
  const auto its = ends(other);
  return mine.first < its.second && its.first < mine.second;
}

Matrix need_matrix(const char* function, const char* name, const py::array& x) {
  Matrix m;
  m.type = type_of(x);
  m.data = static_cast<char*>(const_cast<void*>(x.data()));
  const py::ssize_t rank = x.ndim();
  if (rank == 0)
    throw py::value_error(std::string(function) + ": " + name + " is a scalar, wanted [..., K]");
  m.columns = x.shape(rank - 1);
  for (py::ssize_t i = 0; i + 1 < rank; ++i) m.rows *= x.shape(i);
  m.ld = m.columns;
  if (x.size() == 0) return m;  // whose strides mean nothing
  const py::ssize_t item = x.itemsize();
  const bool inner = m.columns <= 1 || x.strides(rank - 1) == item;
  bool ok = inner && reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(item) == 0;
  if (ok && rank == 2) {
    ok = m.rows <= 1 || x.strides(0) % item == 0;
    m.ld = m.rows <= 1 ? m.columns : x.strides(0) / item;
  } else if (ok && rank > 2) {
    ok = (x.flags() & py::array::c_style) != 0;
  }
  if (!ok) {
    throw py::value_error(std::string(function) + ": " + name + " of shape " + shape_of(x) +
                          " is not contiguous along its last axis (or, with more than 2 "
                          "dimensions, not C-contiguous); "
                          "make it so with numpy.ascontiguousarray");
  }
  return m;
}

Matrix need_operand(const char* function, const char* name, const py::array& x,
                    const PackedWeights& w) {
  const Matrix m = need_matrix(function, name, x);
  if (m.columns != w.panels.k) {
    throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(x) +
                          ", wanted [..., " + std::to_string(w.panels.k) + "] for weights of " +
                          std::to_string(w.panels.k) + " x " + std::to_string(w.panels.n));
  }
  return m;
}

Matrix need_integers(const char* function, const char* name, const py::array& x,
                     const PackedWeights& w) {
  if (w.panels.is_float)
    throw py::type_error(std::string(function) +
                         ": the packed weights are float32, wanted int8 or uint8");
  const Matrix m = need_operand(function, name, x, w);
  if (m.type != Type::u8 && m.type != Type::s8) {
    throw py::type_error(std::string(function) + ": " + name + " has dtype " + dtype_of(x) +
                         ", wanted uint8 or int8");
  }
  return m;
}

// The result [..., N] beside A [..., K]: a fresh array, or `out` when it is one that fits.
struct Result {
  py::array array;
  Matrix matrix;
};

py::dtype numpy_dtype(Type type) {
  switch (type) {
    case Type::u8:
      return py::dtype::of<uint8_t>();
    case Type::s8:
      return py::dtype::of<int8_t>();
    case Type::s32:
      return py::dtype::of<int32_t>();
    default:
      return py::dtype::of<float>();
  }
}

Result result_for(const char* function, const py::array& a, const Matrix& in, int64_t n, Type type,
                  py::handle out) {
  std::vector<py::ssize_t> shape(a.shape(), a.shape() + a.ndim());
  shape.back() = n;
  Result r;
  if (out.is_none()) {
    r.array = py::array(numpy_dtype(type), shape);
  } else {
    r.array = need_array(function, "out", out);
    if (type_of(r.array) != type) {
      throw py::type_error(std::string(function) + ": out has dtype " + dtype_of(r.array) +
                           ", wanted " + name_of(type));
    }
    if (r.array.ndim() != a.ndim() || !std::equal(shape.begin(), shape.end(), r.array.shape())) {
      throw py::value_error(std::string(function) + ": out has shape " + shape_of(r.array) +
                            ", wanted " + py::str(py::tuple(py::cast(shape))).cast<std::string>());
    }
    if (!r.array.writeable()) throw py::value_error(std::string(function) + ": out is read-only");
  }
  r.matrix = need_matrix(function, "out", r.array);
  if (!out.is_none() && r.matrix.overlaps(in)) {
    throw py::value_error(std::string(function) + ": out shares memory with an input");
  }
  if (r.matrix.rows > 1 && std::abs(r.matrix.ld) < n) {
    throw py::value_error(std::string(function) + ": the rows of out overlap each other");
  }
  return r;
}

std::pair<int32_t, int32_t> range_of(Type type) {
  return type == Type::s8 ? std::make_pair(-128, 127) : std::make_pair(0, 255);
}

int32_t need_zero_point(const char* function, const char* name, int64_t zero, Type type) {
  const auto range = range_of(type);
  if (zero >= range.first && zero <= range.second) return static_cast<int32_t>(zero);
  throw py::value_error(std::string(function) + ": " + name + " is " + std::to_string(zero) +
                        ", outside of " + name_of(type));
}

// One zero point, or one for each of `count` rows or columns. Empty `many`: one for all.
struct ZeroPoints {
  int32_t one = 0;
  std::vector<int32_t> many;
};

ZeroPoints need_zero_points(const char* function, const char* name, py::handle value, Type type,
                            int64_t count, const char* of) {
  ZeroPoints zeros;
  if (value.is_none()) return zeros;
  if (PyLong_Check(value.ptr())) {
    const long long zero = PyLong_AsLongLong(value.ptr());
    if (zero == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    zeros.one = need_zero_point(function, name, zero, type);
    return zeros;
  }
  const auto any = py::array::ensure(value);
  if (!any || (any.dtype().kind() != 'i' && any.dtype().kind() != 'u')) {
    if (!any) PyErr_Clear();
    throw py::type_error(std::string(function) + ": " + name +
                         " must be an integer or an array of integers, found " +
                         (any ? dtype_of(any) : std::string(Py_TYPE(value.ptr())->tp_name)));
  }
  const auto values = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(any);
  if (values.size() != 1 && (values.ndim() != 1 || values.size() != count)) {
    throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(any) +
                          ", wanted () or (" + std::to_string(count) + ",): one for each " + of);
  }
  for (py::ssize_t i = 0; i < values.size(); ++i) {
    zeros.many.push_back(need_zero_point(function, name, values.data()[i], type));
  }
  if (values.size() == 1) {
    zeros.one = zeros.many[0];
    zeros.many.clear();
  }
  return zeros;
}

float need_scale(const char* function, const char* name, double scale) {
  const auto value = static_cast<float>(scale);
  if (value > 0.0f && std::isfinite(value)) return value;
  throw py::value_error(std::string(function) + ": " + name +
                        " must be positive and finite, found " + std::to_string(scale));
}

// float32 values, one or one for each of `count`; always `count` long on return unless None.
std::vector<float> need_floats(const char* function, const char* name, py::handle value,
                               int64_t count, const char* of) {
  std::vector<float> floats;
  if (value.is_none()) return floats;
  const auto any = py::array::ensure(value);
  if (!any ||
      (any.dtype().kind() != 'f' && any.dtype().kind() != 'i' && any.dtype().kind() != 'u')) {
    if (!any) PyErr_Clear();
    throw py::type_error(std::string(function) + ": " + name +
                         " must be a number or an array of numbers, found " +
                         (any ? dtype_of(any) : std::string(Py_TYPE(value.ptr())->tp_name)));
  }
  const auto values = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(any);
  if (values.size() != 1 && (values.ndim() != 1 || values.size() != count)) {
    throw py::value_error(std::string(function) + ": " + name + " has shape " + shape_of(any) +
                          ", wanted () or (" + std::to_string(count) + ",): one for each " + of);
  }
  floats.assign(static_cast<size_t>(count), values.size() == 1 ? values.data()[0] : 0.0f);
  if (values.size() != 1) std::copy(values.data(), values.data() + count, floats.begin());
  return floats;
}

PackedWeights pack(const py::array& w, py::handle scale, py::handle bias, py::handle zero_point,
                   const std::string& isa) {
  if (w.ndim() != 2) throw py::value_error("pack: w has shape " + shape_of(w) + ", wanted [K, N]");
  const Type type = type_of(w);
  if (type != Type::s8 && type != Type::u8 && type != Type::f32) {
    throw py::type_error("pack: w has dtype " + dtype_of(w) + ", wanted int8, uint8 or float32");
  }
  const int64_t k = w.shape(0);
  const int64_t n = w.shape(1);
  PackedWeights packed;
  packed.dtype = name_of(type);
  packed.scale = need_floats("pack", "scale", scale, n, "column of w");
  for (const float s : packed.scale) need_scale("pack", "scale", s);
  packed.bias = need_floats("pack", "bias", bias, n, "column of w");
  const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
  const int64_t item = w.itemsize();
  if (w.strides(0) % item != 0 || w.strides(1) % item != 0) {
    throw py::value_error("pack: w has strides that are no multiples of its items");
  }
  const int64_t k_stride = w.strides(0) / item;
  const int64_t n_stride = w.strides(1) / item;
  if (type == Type::f32) {
    if (!packed.scale.empty() || !zero_point.is_none()) {
      throw py::value_error("pack: w is float32, which has neither a scale nor a zero point");
    }
    const auto* data = static_cast<const float*>(w.data());
    const py::gil_scoped_release nogil;
    packed.panels = pack_b_f32(set, data, 1, k, n, 0, k_stride, n_stride);
    return packed;
  }
  ZeroPoints zeros = need_zero_points("pack", "zero_point", zero_point, type, n, "column of w");
  if (zeros.many.empty() && zeros.one != 0) zeros.many.assign(static_cast<size_t>(n), zeros.one);
  const void* data = w.data();
  const py::gil_scoped_release nogil;
  packed.panels = pack_b_int8(set, data, type == Type::s8, 1, k, n, 0, k_stride, n_stride,
                              zeros.many.empty() ? nullptr : zeros.many.data());
  return packed;
}

MatrixA operand(const Matrix& m) {
  MatrixA a;
  a.data = m.data;
  a.lda = m.ld;
  a.is_signed = m.type == Type::s8;
  return a;
}

// Products too small to be worth it keep the GIL: letting go and taking it again costs as much as
// they do.
bool worth_release(const Matrix& a, const PackedWeights& w) {
  return a.rows * a.columns * w.panels.n > 100'000;
}

template <typename Body>
void without_gil(bool release, const Body& body) {
  if (!release) {
    body(nullptr);
    return;
  }
  const std::shared_ptr<ThreadPool> pool = default_pool();
  const py::gil_scoped_release nogil;
  body(pool.get());
}

// What A's zero points put into an epilogue.
struct Terms {
  Terms(const PackedWeights& w, const Matrix& a, ZeroPoints zero_points, Epilogue& e)
      : zeros(std::move(zero_points)) {
    if (!zeros.many.empty()) {
      e.row_zero = zeros.many.data();
    } else if (zeros.one != 0) {
      init.resize(static_cast<size_t>(w.panels.n));
      gemm_init(w.panels, zeros.one, a.type == Type::s8, nullptr, init.data());
      e.init = init.data();
    }
  }
  ZeroPoints zeros;
  std::vector<int32_t> init;
};

py::array qgemm(const py::array& a, const PackedWeights& w, py::handle a_zero_point,
                py::handle out) {
  const Matrix in = need_integers("qgemm", "a", a, w);
  Epilogue e;
  const Terms terms(
      w, in, need_zero_points("qgemm", "a_zero_point", a_zero_point, in.type, in.rows, "row of a"),
      e);
  Result r = result_for("qgemm", a, in, w.panels.n, Type::s32, out);
  without_gil(worth_release(in, w), [&](ThreadPool* pool) {
    gemm(operand(in), w.panels, in.rows, e, r.matrix.data, r.matrix.ld, pool);
  });
  return r.array;
}

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

struct Output {
  std::optional<double> scale;
  int64_t zero_point;
  std::string dtype;
};

Type output_type(const char* function, const Output& output) {
  if (!output.scale) return Type::f32;
  if (output.dtype == "uint8") return Type::u8;
  if (output.dtype == "int8") return Type::s8;
  throw py::value_error(std::string(function) + ": y_dtype must be 'uint8' or 'int8', found '" +
                        output.dtype + "'");
}

py::array qlinear(const py::array& a, const PackedWeights& w, py::handle a_scale,
                  py::handle a_zero_point, const Output& output, const Activation& activation,
                  py::handle residual, double residual_scale, int64_t residual_zero,
                  py::handle out) {
  const char* function = "qlinear";
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
  std::vector<float> scale(w.scale.size()), bias(w.bias.size());
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
  const int32_t extra_zero =
      type == Type::f32 ? 0 : need_zero_point(function, "residual_zero_point", residual_zero, type);
  const float extra_scale =
      divided(static_cast<double>(need_scale(function, "residual_scale", residual_scale)), unit);
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

py::object floats_or_none(const std::vector<float>& values) {
  if (values.empty()) return py::none();
  return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

}  // namespace

void bind_gemm(py::module_& module) {
  py::class_<PackedWeights>(module, "PackedWeights",
                            "Weights [K, N] in the panels of one instruction set.")
      .def_property_readonly(
          "shape", [](const PackedWeights& w) { return py::make_tuple(w.panels.k, w.panels.n); })
      .def_property_readonly("dtype", [](const PackedWeights& w) { return w.dtype; })
      .def_property_readonly("isa",
                             [](const PackedWeights& w) { return std::string(w.panels.set->name); })
      .def_property_readonly("nbytes",
                             [](const PackedWeights& w) { return w.panels.panels.size(); })
      .def_property_readonly("scale",
                             [](const PackedWeights& w) { return floats_or_none(w.scale); })
      .def_property_readonly("bias", [](const PackedWeights& w) { return floats_or_none(w.bias); })
      .def("__repr__", [](const PackedWeights& w) {
        return "PackedWeights(shape=(" + std::to_string(w.panels.k) + ", " +
               std::to_string(w.panels.n) + "), dtype='" + w.dtype + "', isa='" +
               w.panels.set->name + "')";
      });
  py::class_<Activation>(module, "Activation")
      .def(py::init(&need_activation), py::arg("name"), py::arg("alpha") = py::none(),
           py::arg("beta") = py::none());
  py::class_<Output>(module, "Output")
      .def(py::init([](std::optional<double> scale, int64_t zero_point, std::string dtype) {
             return Output{scale, zero_point, std::move(dtype)};
           }),
           py::arg("scale"), py::arg("zero_point"), py::arg("dtype"));
  module.def("pack", &pack, py::arg("w"), py::arg("scale") = py::none(),
             py::arg("bias") = py::none(), py::arg("zero_point") = py::none(), py::arg("isa") = "");
  module.def("qgemm", &qgemm, py::arg("a"), py::arg("packed"), py::arg("a_zero_point"),
             py::arg("out"));
  module.def("qlinear", &qlinear, py::arg("a"), py::arg("packed"), py::arg("a_scale"),
             py::arg("a_zero_point"), py::arg("output"), py::arg("activation"), py::arg("residual"),
             py::arg("residual_scale"), py::arg("residual_zero_point"), py::arg("out"));
  module.def("linear", &linear, py::arg("x"), py::arg("packed"), py::arg("activation"),
             py::arg("out"));
  module.def(
      "gemm_tile",
      [](const std::string& isa, bool is_float) {
        const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
        const GemmKernel& kernel = is_float ? set.gemm->f32 : set.gemm->s8;
        return py::make_tuple(kernel.mr, kernel.nr, kernel.kr);
      },
      "Rows, columns and depth step of an instruction set's tile.", py::arg("isa") = "",
      py::arg("is_float") = false);
  module.def("set_num_threads", &set_default_threads, py::arg("threads"));
  module.def("get_num_threads", &default_threads);
}

}  // namespace pycompress
