// Quantize and dequantize arrays, from Python.
#include "quantize/quantize.h"

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

namespace pycompress {
namespace {

Channels channels_of(const char* function, const py::array& x, std::optional<int64_t> axis) {
  Channels of;
  if (!axis) {
    of.inner = x.size();
    return of;
  }
  const int64_t rank = x.ndim();
  const int64_t at = *axis < 0 ? *axis + rank : *axis;
  if (at < 0 || at >= rank) {
    throw py::value_error(std::string(function) + ": axis is " + std::to_string(*axis) +
                          ", outside of an array of shape " + shape_text(x));
  }
  for (int64_t i = 0; i < rank; ++i) {
    (i < at ? of.outer : i == at ? of.channels : of.inner) *= x.shape(i);
  }
  return of;
}

// What most calls give, without an array made of it: a Python number or a NumPy float32.
template <typename T>
std::optional<T> plain_number(py::handle value) {
  if constexpr (std::is_floating_point_v<T>) {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> float32;
    const auto make = [] {
      return py::module_::import("numpy").attr("float32").cast<py::object>();
    };
    if (!PyFloat_Check(value.ptr()) &&
        !py::type::handle_of(value).is(float32.call_once_and_store_result(make).get_stored())) {
      return std::nullopt;
    }
    return static_cast<T>(PyFloat_AsDouble(value.ptr()));
  } else {
    if (!PyLong_CheckExact(value.ptr())) return std::nullopt;
    int overflow = 0;
    const int64_t number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    return overflow == 0 ? std::optional<T>(number) : std::nullopt;
  }
}

// One value, or one for each channel, as [channels].
template <typename T>
std::vector<T> parameters(const char* name, py::handle value, const Channels& of,
                          std::optional<int64_t> axis) {
  if (const auto number = plain_number<T>(value)) {
    return std::vector<T>(static_cast<size_t>(of.channels), *number);
  }
  const auto any = py::array::ensure(value);
  const char kind = any ? any.dtype().kind() : 'O';
  const bool integer = kind == 'i' || kind == 'u';
  if (!any || !(integer || (kind == 'f' && std::is_floating_point_v<T>))) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + " must be " +
                         (std::is_floating_point_v<T> ? "a number" : "an integer") +
                         " or an array of them, found " +
                         (any ? dtype_text(any) : std::string(Py_TYPE(value.ptr())->tp_name)));
  }
  const auto values = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(any);
  const auto count = static_cast<size_t>(of.channels);
  if (any.size() == 1 && any.ndim() <= 1) return std::vector<T>(count, values.data()[0]);
  if (any.ndim() != 1 || any.size() != of.channels || !axis) {
    throw py::value_error(std::string(name) + " has shape " + shape_text(any) +
                          (axis ? ", wanted () or (" + std::to_string(of.channels) + ",)"
                                : std::string(", wanted (): there is no axis")));
  }
  return std::vector<T>(values.data(), values.data() + count);
}

std::vector<int32_t> zero_points(const char* name, py::handle value, const Channels& of,
                                 std::optional<int64_t> axis, int64_t lo, int64_t hi,
                                 const char* dtype) {
  std::vector<int32_t> zeros;
  for (const int64_t zero : parameters<int64_t>(name, value, of, axis)) {
    if (zero < lo || zero > hi) {
      throw py::value_error(std::string(name) + " is " + std::to_string(zero) + ", outside of " +
                            dtype);
    }
    zeros.push_back(static_cast<int32_t>(zero));
  }
  return zeros;
}

template <typename Byte>
py::array quantize_to(const py::array& x, const float* data, const Channels& of,
                      const std::vector<float>& scale, const std::vector<int32_t>& zero,
                      py::handle out) {
  py::array result = need_out<Byte>("quantize: out", out, shape_vector(x));
  need_apart("quantize: out", result, "x", x, false);
  auto* bytes = static_cast<Byte*>(result.mutable_data());
  const KernelSet& set = active_set();
  run_body(of.size(), [&](ThreadPool* pool) {
    quantize_tensor(set, data, of, scale.data(), zero.data(), bytes, pool);
  });
  return result;
}

py::array quantize(const py::array& x, py::handle scale, py::handle zero_point,
                   std::optional<int64_t> axis, const std::string& dtype, py::handle out) {
  const auto* data = need<float>("quantize: x", x);
  const bool is_signed = dtype == "int8";
  if (!is_signed && dtype != "uint8") {
    throw py::value_error("quantize: dtype is '" + dtype + "', wanted 'int8' or 'uint8'");
  }
  const Channels of = channels_of("quantize", x, axis);
  const auto scales = parameters<float>("quantize: scale", scale, of, axis);
  for (const float s : scales) {
    if (s > 0.0f && std::isfinite(s)) continue;
    throw py::value_error("quantize: scale must be positive and finite, found " +
                          std::to_string(s));
  }
  const auto zeros = zero_points("quantize: zero_point", zero_point, of, axis, is_signed ? -128 : 0,
                                 is_signed ? 127 : 255, dtype.c_str());
  return is_signed ? quantize_to<int8_t>(x, data, of, scales, zeros, out)
                   : quantize_to<uint8_t>(x, data, of, scales, zeros, out);
}

template <typename Integer>
py::array dequantize_from(const py::array& q, py::handle scale, py::handle zero_point,
                          std::optional<int64_t> axis, py::handle out) {
  const auto* data = need<Integer>("dequantize: q", q);
  const Channels of = channels_of("dequantize", q, axis);
  const auto scales = parameters<float>("dequantize: scale", scale, of, axis);
  const auto zeros = zero_points("dequantize: zero_point", zero_point, of, axis,
                                 std::numeric_limits<Integer>::min(),
                                 std::numeric_limits<Integer>::max(), dtype_text(q).c_str());
  py::array result = need_out<float>("dequantize: out", out, shape_vector(q));
  need_apart("dequantize: out", result, "q", q, false);
  auto* floats = static_cast<float*>(result.mutable_data());
  const KernelSet& set = active_set();
  run_body(of.size(), [&](ThreadPool* pool) {
    dequantize_tensor(set, data, of, scales.data(), zeros.data(), floats, pool);
  });
  return result;
}

py::array dequantize(const py::array& q, py::handle scale, py::handle zero_point,
                     std::optional<int64_t> axis, py::handle out) {
  if (has_dtype<uint8_t>(q)) return dequantize_from<uint8_t>(q, scale, zero_point, axis, out);
  if (has_dtype<int8_t>(q)) return dequantize_from<int8_t>(q, scale, zero_point, axis, out);
  if (has_dtype<int32_t>(q)) return dequantize_from<int32_t>(q, scale, zero_point, axis, out);
  throw py::type_error("dequantize: q has dtype " + dtype_text(q) +
                       ", wanted uint8, int8 or int32");
}

// Symmetric int8 weights and the scales that just hold them: (integers, scales).
std::pair<py::array, py::array> weights(const py::array& w, std::optional<int64_t> axis,
                                        py::handle out) {
  const auto* data = need<float>("quantize_weights: w", w);
  const Channels of = channels_of("quantize_weights", w, axis);
  py::array result = need_out<int8_t>("quantize_weights: out", out, shape_vector(w));
  need_apart("quantize_weights: out", result, "w", w, false);
  auto* bytes = static_cast<int8_t*>(result.mutable_data());
  py::array scale(py::dtype::of<float>(), axis ? Extents{of.channels} : Extents{});
  auto* scales = static_cast<float*>(scale.mutable_data());
  const KernelSet& set = active_set();
  int64_t wild = -1;
  run_body(of.size(),
           [&](ThreadPool* pool) { wild = quantize_weights(set, data, of, scales, bytes, pool); });
  if (wild >= 0) {
    throw py::value_error(
        "quantize_weights: w has NaN or infinite values" +
        (axis ? " in channel " + std::to_string(wild) + " of axis " + std::to_string(*axis) : ""));
  }
  return {result, scale};
}

// Smallest and largest of the values that are not NaN.
std::pair<float, float> range(const py::array& x) {
  const auto* data = need<float>("range: x", x);
  const int64_t n = x.size();
  std::pair<float, float> ends;
  const KernelSet& set = active_set();
  run_body(n, [&](ThreadPool*) { set.quantize->range(data, n, &ends.first, &ends.second); });
  return ends;
}

}  // namespace

void bind_quantize(py::module_& module) {
  module.def("quantize", &quantize, py::arg("x"), py::arg("scale"), py::arg("zero_point"),
             py::arg("axis"), py::arg("dtype"), py::arg("out"));
  module.def("dequantize", &dequantize, py::arg("q"), py::arg("scale"), py::arg("zero_point"),
             py::arg("axis"), py::arg("out"));
  module.def("quantize_weights", &weights, py::arg("w"), py::arg("axis"), py::arg("out"));
  module.def("range", &range, py::arg("x"));
}

}  // namespace pycompress
