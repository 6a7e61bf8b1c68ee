// Exact products of two arrays of 8-bit integers, from Python: nothing is packed beforehand.
#include "bindings/matmul.h"

#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/packed.h"
#include "dispatch/dispatch.h"
#include "engine/integer_product.h"
#include "engine/strided.h"

namespace pycompress {
namespace {

constexpr const char* kName = "qmatmul";

// What an array's elements lie between, in bytes.
std::pair<const char*, const char*> ends_of(const py::array& x) {
  const char* first = static_cast<const char*>(x.data());
  const char* last = first;
  for (py::ssize_t i = 0; i < x.ndim(); ++i) {
    const py::ssize_t reach = (x.shape(i) - 1) * x.strides(i);
    (reach < 0 ? first : last) += reach;
  }
  return {first, last + x.itemsize()};
}

bool share_memory(const py::array& x, const py::array& y) {
  if (x.size() == 0 || y.size() == 0) return false;
  const auto a = ends_of(x);
  const auto b = ends_of(y);
  return a.first < b.second && b.first < a.second;
}

// The matrices of an array [..., rows, columns], whose batches are the first dimensions.
struct Operand {
  Operand(const char* name, py::handle value, const char* wanted)
      : array(need_array(kName, name, value)), type(type_of(array)) {
    const py::ssize_t rank = array.ndim();
    if (type != Type::u8 && type != Type::s8) {
      throw py::type_error(std::string(kName) + ": " + name + " has dtype " + dtype_of(array) +
                           ", wanted uint8 or int8");
    }
    if (rank < 2 || rank > kMaxRank) {
      throw py::value_error(std::string(kName) + ": " + name + " has shape " + shape_of(array) +
                            ", wanted " + wanted + ", 2 to " + std::to_string(kMaxRank) +
                            " dimensions");
    }
    rows = array.shape(rank - 2);
    columns = array.shape(rank - 1);
    for (py::ssize_t i = 0; i < rank - 2; ++i) batch.push(array.shape(i));
    side.data = static_cast<const uint8_t*>(array.data());
    side.is_signed = type == Type::s8;
    // A dimension of one has any stride: as it would be in memory, so that the other one counts.
    side.row_step = rows == 1 ? columns : array.strides(rank - 2);
    side.column_step = columns == 1 ? rows : array.strides(rank - 1);
  }

  // Steps along the batch of the result: 0 where this side has one matrix for all.
  void spread(const Shape& over) {
    const int missing = over.rank() - batch.rank();
    for (int i = 0; i < batch.rank(); ++i)
      side.batch_step[missing + i] = batch[i] == 1 ? 0 : array.strides(i);
  }

  py::array array;
  Type type;
  Shape batch;
  int64_t rows = 0, columns = 0;
  IntegerSide side;
};

// A fresh array for the product, or `out` when it is one that fits.
py::array result(const IntegerProduct& p, py::handle out) {
  std::vector<py::ssize_t> shape(p.batch.begin(), p.batch.end());
  shape.push_back(p.m);
  shape.push_back(p.n);
  if (out.is_none()) return py::array(py::dtype::of<int32_t>(), shape);
  py::array array = need_array(kName, "out", out);
  const auto refuse = [&](const std::string& found) {
    throw py::value_error(std::string(kName) + ": out " + found);
  };
  if (type_of(array) != Type::s32) {
    throw py::type_error(std::string(kName) + ": out has dtype " + dtype_of(array) +
                         ", wanted int32");
  }
  if (!std::equal(shape.begin(), shape.end(), array.shape(), array.shape() + array.ndim())) {
    refuse("has shape " + shape_of(array) + ", wanted " +
           py::str(py::tuple(py::cast(shape))).cast<std::string>());
  }
  if (!array.writeable()) refuse("is read-only");
  const Matrix rows = need_matrix(kName, "out", array);
  if (rows.rows > 1 && std::abs(rows.ld) < p.n) refuse("has rows that overlap each other");
  return array;
}

}  // namespace

py::object qmatmul(PyObject* const* args) {
  Operand a("a", args[0], "[..., M, K]");
  Operand b("b", args[1], "[..., K, N]");
  const auto shapes = [&] { return shape_of(a.array) + " and " + shape_of(b.array); };
  if (a.columns != b.rows) {
    throw py::value_error(std::string(kName) + ": a and b have shapes " + shapes() +
                          ", wanted [..., M, K] and [..., K, N]");
  }
  if (a.array.size() > 0 && a.columns > 1 && a.side.column_step != 1) {
    throw py::value_error(std::string(kName) + ": a of shape " + shape_of(a.array) +
                          " is not contiguous along its last axis; make it so with "
                          "numpy.ascontiguousarray");
  }
  IntegerProduct p;
  try {
    p.batch = broadcast_shapes(a.batch, b.batch);
  } catch (const std::invalid_argument&) {
    throw py::value_error(std::string(kName) + ": a and b have shapes " + shapes() +
                          ", whose leading dimensions do not go together");
  }
  p.m = a.rows;
  p.k = a.columns;
  p.n = b.columns;
  a.spread(p.batch);
  b.spread(p.batch);
  const ZeroPoints a_zero =
      need_zero_points(kName, "a_zero_point", args[2], a.type, p.m, "row of a");
  ZeroPoints b_zero = need_zero_points(kName, "b_zero_point", args[3], b.type, p.n, "column of b");
  if (b_zero.many.empty() && b_zero.one != 0)
    b_zero.many.assign(static_cast<size_t>(p.n), b_zero.one);
  p.one_a_zero = a_zero.many.empty();
  a.side.zero = p.one_a_zero ? &a_zero.one : a_zero.many.data();
  b.side.zero = b_zero.many.empty() ? nullptr : b_zero.many.data();
  p.a = a.side;
  p.b = b.side;
  const py::array y = result(p, args[4]);
  if (share_memory(y, a.array) || share_memory(y, b.array))
    throw py::value_error(std::string(kName) + ": out shares memory with an input");
  const Matrix rows = need_matrix(kName, "out", y);
  p.c = reinterpret_cast<int32_t*>(rows.data);
  p.c_step = rows.ld;
  const KernelSet& set = active_set();
  const auto work = static_cast<double>(y.size()) * static_cast<double>(p.k);
  without_gil(work > 100'000.0, [&](ThreadPool* pool) { multiply(set, p, pool); });
  return y;
}

}  // namespace pycompress
