// The choice of an instruction set, from Python.
#include <pybind11/stl.h>

#include "bindings/families.h"
#include "dispatch/dispatch.h"

namespace pycompress {

void bind_cpu(pybind11::module_& module) {
  module.def("isa", [] { return std::string(active_set().name); });
  module.def("available_isas", [] {
    std::vector<std::string> names;
    for (const KernelSet* set : available_sets()) names.emplace_back(set->name);
    return names;
  });
  module.def("use_isa", &use_set, pybind11::arg("name"));
}

}  // namespace pycompress
