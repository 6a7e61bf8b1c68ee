// What the bindings of programs share.
#pragma once
#include <pybind11/numpy.h>

#include <memory>
#include <string>

#include "engine/attrs.h"
#include "engine/program.h"

namespace pycompress {

// Keeps an array; the last one to let go need not hold the GIL.
std::shared_ptr<void> keep(const pybind11::array& array);

// The values that each of some calls made; a call is [kind, argument...] as a plan file has them,
// and the arrays that they speak of lie in `data` (uint8).
std::vector<std::vector<int>> replay(Program& program, const pybind11::list& calls,
                                     const pybind11::array& data);

}  // namespace pycompress
