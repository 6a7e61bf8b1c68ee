#include "bindings/packed.h"

#include "dispatch/dispatch.h"

namespace pycompress {

const PackedWeights& need_packed(const char* function, py::handle value) {
  py::detail::make_caster<PackedWeights>
      weights;  // looks its type up once, where cast() does twice
  if (weights.load(value, false)) return py::detail::cast_op<const PackedWeights&>(weights);
  throw py::type_error(std::string(function) +
                       ": packed must be PackedWeights, as pack() gives them, found " +
                       Py_TYPE(value.ptr())->tp_name);
}

Matrix need_operand(const char* function, const char* name, const py::array& x,
                    const PackedWeights& w) {
  const Matrix m = need_matrix(function, name, x);
  need_depth(function, name, x, m, w.panels.k, w.panels.n);
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

}  // namespace pycompress
