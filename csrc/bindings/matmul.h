// The product of two arrays of 8-bit integers, for the module that has the others.
#pragma once
#include "bindings/direct.h"

namespace pycompress {

pybind11::object qmatmul(PyObject* const* args);

}  // namespace pycompress
