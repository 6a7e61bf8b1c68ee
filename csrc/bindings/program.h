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

// The last states and what all rounds added, one above the other; at least one round. sliced: along
// their first axis. As engine/rounds.h says.
std::pair<pybind11::list, pybind11::list> run_rounds(Program& program, const std::string& title,
                                                     const std::vector<int>& taken,
                                                     const std::vector<int>& given, bool counts,
                                                     int64_t most,
                                                     const std::vector<pybind11::array>& states,
                                                     const std::vector<pybind11::array>& sliced,
                                                     const std::vector<pybind11::array>& captured);

}  // namespace pycompress
