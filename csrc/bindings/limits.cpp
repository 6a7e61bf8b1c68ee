// The ceilings of this machine, for `pycompress bench`.
#include <pybind11/stl.h>

#include <stdexcept>
#include <tuple>

#include "bindings/families.h"
#include "limits/measure.h"

namespace pycompress {
namespace {

using Peak = std::tuple<std::string, std::string, std::string, int64_t>;

std::vector<Peak> limit_peaks() {
  std::vector<Peak> peaks;
  for (const LimitRow* row : available_limits()) {
    for (const PeakLoop& peak : row->loops->peaks) {
      if (peak.run != nullptr)
        peaks.emplace_back(row->isa, peak.type, peak.instruction, peak.operations);
    }
  }
  return peaks;
}

std::vector<std::tuple<std::string, std::string>> limit_traffic() {
  std::vector<std::tuple<std::string, std::string>> loops;
  for (const LimitRow* row : available_limits()) {
    const TrafficLoops& traffic = row->loops->traffic;
    if (traffic.read != nullptr) loops.emplace_back(row->isa, "read");
    if (traffic.write != nullptr) loops.emplace_back(row->isa, "write");
    if (traffic.narrow != nullptr) loops.emplace_back(row->isa, "narrow");
    if (traffic.narrow_past_cache != nullptr) loops.emplace_back(row->isa, "narrow_past_cache");
  }
  return loops;
}

}  // namespace

void bind_limits(pybind11::module_& module) {
  namespace py = pybind11;
  module.def("limit_peaks", &limit_peaks,
             "Instruction set, type, instruction and operations of a pass of each peak loop.");
  module.def("limit_traffic", &limit_traffic, "Instruction set and kind of each traffic loop.");
  module.def(
      "time_peak",
      [](const std::string& isa, const std::string& type, int64_t passes, int repeats) {
        const std::shared_ptr<ThreadPool> pool = default_pool();
        const py::gil_scoped_release nogil;
        return time_peak(isa, type, passes, repeats, *pool);
      },
      py::arg("isa"), py::arg("type"), py::arg("passes"), py::arg("repeats"),
      "Seconds of each repeat; every thread makes all passes.");
  module.def(
      "time_traffic",
      [](const std::string& isa, const std::string& kind, int64_t bytes, int64_t passes,
         int repeats) {
        const std::shared_ptr<ThreadPool> pool = default_pool();
        const py::gil_scoped_release nogil;
        return time_traffic(isa, kind, bytes, passes, repeats, *pool);
      },
      py::arg("isa"), py::arg("kind"), py::arg("bytes"), py::arg("passes"), py::arg("repeats"),
      "Seconds of each repeat; every thread sweeps over memory of its own.");
}

}  // namespace pycompress
