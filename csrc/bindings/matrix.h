// NumPy arrays as the matrices, scales and zero points of a kernel: every check names the function,
// the argument, what was found and what was wanted.
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace pycompress {

namespace py = pybind11;

enum class Type { u8, s8, s32, f32, other };

Type type_of(const py::array& x);
const char* name_of(Type type);
std::string dtype_of(const py::array& x);
std::string shape_of(const py::array& x);
py::array need_array(const char* function, const char* name, py::handle value);

// An array [..., columns] seen as a matrix: rows may lie apart only when there are two dimensions.
struct Matrix {
  char* data = nullptr;
  int64_t rows = 1, columns = 0, ld = 0;  // ld in elements
  Type type = Type::other;

  bool overlaps(const Matrix& other) const;
};

Matrix need_matrix(const char* function, const char* name, const py::array& x);
// `m` of x is [..., K], as weights of K x N want it.
void need_depth(const char* function, const char* name, const py::array& x, const Matrix& m,
                int64_t k, int64_t n);
// The float32 `a` [..., K] of a product with weights of K x N.
Matrix need_float_matrix(const char* function, const py::array& a, int64_t k, int64_t n);

// The result [..., N] beside A [..., K]: a fresh array, or `out` when it is one that fits.
struct Result {
  py::array array;
  Matrix matrix;
};

Result result_for(const char* function, const py::array& a, const Matrix& in, int64_t n, Type type,
                  py::handle out);

// One zero point, or one for each of `count` rows or columns. Empty `many`: one for all.
struct ZeroPoints {
  int32_t one = 0;
  std::vector<int32_t> many;
};

// `of` says what there may be one for each of: "row of a".
ZeroPoints need_zero_points(const char* function, const char* name, py::handle value, Type type,
                            int64_t count, const char* of);
int32_t need_zero_point(const char* function, const char* name, int64_t zero, Type type);
// A Python number, or what converts to one without loss: an array without dimensions, say.
double need_number(const char* function, const char* name, py::handle value);
int64_t need_integer(const char* function, const char* name, py::handle value);
// What `y_dtype` names: "uint8" or "int8".
Type need_output_type(const char* function, py::handle y_dtype);
float need_scale(const char* function, const char* name, double scale);
// float32 values, one or one for each of `count`: always `count` long, but empty for None.
std::vector<float> need_floats(const char* function, const char* name, py::handle value,
                               int64_t count, const char* of);

}  // namespace pycompress
