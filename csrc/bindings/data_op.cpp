// Operators that run by themselves, from Python.
#include "engine/data_op.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/families.h"
#include "bindings/tensors.h"
#include "dispatch/dispatch.h"

namespace pycompress {
namespace {

namespace py = pybind11;

// One node, ready to run.
class DataNode {
 public:
  DataNode(const std::string& op, const std::string& name, int inputs, int outputs,
           const py::dict& attrs)
      : title_(op + " '" + name + "'"), inputs_(inputs) {
    const DataEntry* entry = find_data_op(op);
    if (entry == nullptr) fail("unknown operator " + op + " of node '" + name + "'");
    if (inputs < entry->min_inputs || inputs > entry->max_inputs) {
      fail(title_ + ": takes " + str(entry->min_inputs) + " to " + str(entry->max_inputs) +
           " inputs, found " + str(inputs));
    }
    if (outputs < 1 || outputs > entry->max_outputs) {
      fail(title_ + ": gives 1 to " + str(entry->max_outputs) + " outputs, asked for " +
           str(outputs));
    }
    required_ = entry->min_inputs;
    const Attrs converted = attrs_of(attrs, title_);
    const auto count = static_cast<size_t>(inputs);
    PackStore store;
    const NodeDef node(converted, std::vector<const Tensor*>(count, nullptr),
                       std::vector<bool>(count, true), outputs, active_set(), nullptr, &store);
    try {
      op_ = entry->make(node);
      node.check_all_read();
    } catch (const std::invalid_argument& e) {
      fail(title_ + ": " + e.what());
    }
  }

  py::list run(const std::vector<std::optional<py::array>>& arrays) const {
    if (static_cast<int>(arrays.size()) != inputs_)
      fail(title_ + ": takes " + str(inputs_) + " inputs, found " +
           str(static_cast<int64_t>(arrays.size())));
    std::vector<Tensor> tensors(arrays.size());
    std::vector<const Tensor*> inputs;
    for (size_t i = 0; i < arrays.size(); ++i) {
      const std::string what = title_ + ": input " + std::to_string(i);
      if (!arrays[i] && static_cast<int>(i) < required_) fail(what + " is required");
      if (arrays[i]) tensors[i] = tensor_of(*arrays[i], what);
      inputs.push_back(arrays[i] ? &tensors[i] : nullptr);
    }
    std::vector<DataResult> results;
    try {
      const py::gil_scoped_release nogil;
      results = op_->run(inputs);
    } catch (const std::invalid_argument& e) {
      fail(title_ + ": " + e.what());
    }
    py::list out;
    for (DataResult& result : results) out.append(array_of(std::move(result)));
    return out;
  }

 private:
  // An array that owns the result's memory.
  static py::array array_of(DataResult result) {
    const std::vector<py::ssize_t> shape(result.shape.begin(), result.shape.end());
    const py::dtype dtype = numpy_dtype(result.dtype);
    auto* bytes = new std::vector<uint8_t>(std::move(result.bytes));
    const py::capsule owner(bytes,
                            [](void* kept) { delete static_cast<std::vector<uint8_t>*>(kept); });
    return py::array(dtype, shape, bytes->data(), owner);
  }

  std::string title_;
  int inputs_;
  int required_ = 0;
  DataOpPtr op_;
};

}  // namespace

void bind_data_op(py::module_& module) {
  module.def("data_ops", &data_op_names, "Names of the operators that a DataOp can be.");
  py::class_<DataNode>(module, "DataOp",
                       "An operator whose results' shapes follow from its inputs' values.")
      .def(py::init<const std::string&, const std::string&, int, int, const py::dict&>(),
           py::arg("op"), py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("attrs"))
      .def("run", &DataNode::run, py::arg("inputs"));
}

}  // namespace pycompress
