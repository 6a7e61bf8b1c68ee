// NumPy arrays and Python values as the engine sees them.
#pragma once
#include <pybind11/numpy.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/attrs.h"
#include "engine/tensor.h"

namespace pycompress {

std::optional<DType> dtype_of(const pybind11::dtype& dtype);
pybind11::dtype numpy_dtype(DType dtype);
// The array's memory as a tensor; throws std::invalid_argument that says what the array is.
Tensor tensor_of(const pybind11::array& array, const std::string& what);
// An attribute; throws std::invalid_argument that names it.
AttrValue attr_of(const pybind11::handle& value, const std::string& name);
Attrs attrs_of(const pybind11::dict& attrs, const std::string& title);
// Bytes `begin` to `end` of a file (uint8) as an array of this type and shape: a view, or a copy
// where the file does not align them; None where their number is another.
pybind11::object view_of(const pybind11::array& file, pybind11::ssize_t begin,
                         pybind11::ssize_t end, const pybind11::dtype& dtype,
                         const std::vector<pybind11::ssize_t>& shape);
// Numbers (an array, or null) in this shape; None where they are of another type or number.
pybind11::object shaped(PyObject* numbers, const pybind11::dtype& type,
                        const std::vector<pybind11::ssize_t>& dims);

}  // namespace pycompress
