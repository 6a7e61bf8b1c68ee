// The native program, from Python.
#include "bindings/program.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/families.h"
#include "bindings/tensors.h"
#include "dispatch/dispatch.h"
#include "engine/plan.h"

namespace pycompress {

namespace py = pybind11;

// The last reader may let go without holding the GIL.
std::shared_ptr<void> keep(const py::array& array) {
  return {new py::array(array), [](void* kept) {
            const py::gil_scoped_acquire gil;
            delete static_cast<py::array*>(kept);
          }};
}

namespace {

int add_constant(Program& program, const py::array& array) {
  return program.constant(tensor_of(array, "constant"), keep(array));
}

int add_hollow_constant(Program& program, const py::object& dtype,
                        const std::vector<int64_t>& shape) {
  const std::optional<DType> type = dtype_of(py::dtype::from_args(dtype));
  if (!type) fail("the engine has no dtype " + py::str(dtype).cast<std::string>());
  Tensor tensor;
  tensor.dtype = *type;
  tensor.shape = Shape(shape);
  return program.constant(tensor, nullptr);
}

// (layout, [bytes of each block]) of everything that a node packed, and back.
using StoredParts = std::vector<std::pair<std::vector<int64_t>, std::vector<py::array>>>;

PackStore store_of(const StoredParts& parts) {
  std::vector<Stored> all;
  for (const auto& [layout, blocks] : parts) {
    Stored stored;
    stored.layout = layout;
    for (const py::array& array : blocks) {
      const Tensor tensor = tensor_of(array, "a block of stored weights");
      stored.blocks.push_back(
          {keep(array), static_cast<const uint8_t*>(tensor.data), tensor.bytes()});
    }
    all.push_back(std::move(stored));
  }
  return PackStore(std::move(all));
}

// What each node packed, by the order of adding; None for a node that is not needed.
py::list packed_weights(const py::object& self, int added) {
  auto& program = self.cast<Program&>();
  py::list all;
  for (int i = 0; i < added; ++i) all.append(py::none());
  for (const auto& node : program.nodes()) {
    if (node->index >= added) fail("the program has more nodes than " + std::to_string(added));
    py::list parts;
    for (const Stored& stored : node->weights.kept()) {
      py::list blocks;
      for (const Block& block : stored.blocks) {
        blocks.append(
            py::array_t<uint8_t>(static_cast<py::ssize_t>(block.bytes), block.data, self));
      }
      parts.append(py::make_tuple(stored.layout, blocks));
    }
    all[static_cast<size_t>(node->index)] = parts;
  }
  return all;
}

// The values of a constant, or None where only packed weights hold them.
py::object constant_values(const py::object& self, int id) {
  const auto& values = self.cast<Program&>().values();
  if (id < 0 || id >= static_cast<int>(values.size())) fail(std::to_string(id) + " is not a value");
  const ProgramValue& value = values[static_cast<size_t>(id)];
  if (value.kind != ProgramValue::Kind::constant) fail(std::to_string(id) + " is no constant");
  if (value.tensor.data == nullptr) return py::none();
  return py::array(numpy_dtype(value.tensor.dtype),
                   std::vector<py::ssize_t>(value.tensor.shape.begin(), value.tensor.shape.end()),
                   value.tensor.data, self);
}

std::vector<int> add_node(Program& program, const std::string& op, const std::string& name,
                          const std::vector<int>& inputs, int outputs, const py::dict& attrs,
                          const std::optional<StoredParts>& weights) {
  const Attrs converted = attrs_of(attrs, op + " '" + name + "'");
  PackStore store = weights ? store_of(*weights) : PackStore();
  const py::gil_scoped_release nogil;
  return program.add(op, name, inputs, outputs, converted, std::move(store));
}

std::vector<Tensor> check_inputs(Program& program, const std::vector<py::array>& arrays) {
  const auto& ids = program.input_ids();
  if (arrays.size() != ids.size()) {
    fail("the program takes " + std::to_string(ids.size()) + " inputs, found " +
         std::to_string(arrays.size()));
  }
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const ProgramValue& value = program.values()[static_cast<size_t>(ids[i])];
    const std::string what = "input '" + value.name + "'";
    const Tensor tensor = tensor_of(arrays[i], what);
    if (tensor.dtype != value.tensor.dtype) {
      fail(what + " must be " + dtype_name(value.tensor.dtype) + ", found " +
           py::str(arrays[i].dtype()).cast<std::string>());
    }
    tensors.push_back(tensor);
  }
  return tensors;
}

py::list run(Program& program, const std::vector<py::array>& arrays) {
  const std::vector<Tensor> inputs = check_inputs(program, arrays);
  std::vector<void*> in;
  for (const Tensor& tensor : inputs) in.push_back(tensor.data);
  std::vector<void*> out;
  py::list results;
  std::shared_ptr<Plan> plan;
  {
    const py::gil_scoped_release nogil;
    plan = program.plan_for(inputs);
  }
  for (const PlannedValue& value : plan->outputs()) {
    py::array array(numpy_dtype(value.dtype),
                    std::vector<py::ssize_t>(value.shape.begin(), value.shape.end()));
    out.push_back(array.mutable_data());
    results.append(std::move(array));
  }
  {
    const py::gil_scoped_release nogil;
    run_plan(plan, program.pool(), in, out, program.profiling(), program.poison());
    plan.reset();
  }
  return results;
}

// For every node, in the order in which they run: name, operator, calls, seconds in all; start,
// seconds and shape of the first output of the last call.
py::list profile(Program& program) {
  py::list rows;
  for (const auto& node : program.nodes()) {
    const NodeTimes times = node->clock.times();
    const py::tuple shape =
        py::cast(std::vector<int64_t>(times.last_shape.begin(), times.last_shape.end()));
    rows.append(py::make_tuple(node->name, node->entry->name, times.calls,
                               static_cast<double>(times.nanoseconds) * 1e-9,
                               static_cast<double>(times.last_start) * 1e-9,
                               static_cast<double>(times.last_nanoseconds) * 1e-9, shape));
  }
  return rows;
}

py::dict stats(Program& program) {
  const ProgramStats all = program.stats();
  py::dict out;
  out["arena_bytes"] = all.arena_bytes;
  out["constant_bytes"] = all.constant_bytes;
  out["plans"] = all.plans;
  out["steps"] = all.steps;
  out["folded"] = all.folded;
  return out;
}

}  // namespace

void bind_program(py::module_& module) {
  module.def("program_ops", &op_names, "Names of the operators that a Program can run.");
  py::class_<Program>(module, "Program",
                      "A model's operators, planned per signature of input shapes.")
      .def(py::init([](int threads) {
             if (threads < 1) fail("threads must be at least 1, got " + std::to_string(threads));
             return std::make_unique<Program>(active_set(), threads);
           }),
           py::arg("threads") = 1)
      .def("constant", &add_constant, py::arg("array"))
      .def(
          "input",
          [](Program& program, const std::string& name, const py::object& dtype, bool by_value) {
            const auto wanted = dtype_of(py::dtype::from_args(dtype));
            if (!wanted)
              fail("input '" + name + "' has a dtype that the engine does not take: " +
                   py::str(dtype).cast<std::string>());
            return program.input(name, *wanted, by_value);
          },
          py::arg("name"), py::arg("dtype"), py::arg("by_value") = false)
      .def("add", &add_node, py::arg("op"), py::arg("name"), py::arg("inputs"), py::arg("outputs"),
           py::arg("attrs"), py::arg("weights") = py::none())
      .def("hollow_constant", &add_hollow_constant, py::arg("dtype"), py::arg("shape"))
      .def("packed_weights", &packed_weights, py::arg("added"))
      .def("constant_values", &constant_values, py::arg("id"))
      .def("replay", &replay, py::arg("calls"), py::arg("data"))
      .def("finish", &Program::finish, py::arg("outputs"))
      .def("run", &run, py::arg("inputs"))
      .def("run_rounds", &run_rounds, py::arg("title"), py::arg("taken"), py::arg("given"),
           py::arg("counts"), py::arg("most"), py::arg("states"), py::arg("sliced"),
           py::arg("captured"))
      .def("set_profiling", &Program::set_profiling, py::arg("on"))
      .def("set_poison", &Program::set_poison, py::arg("on"))
      .def("profile", &profile)
      .def("stats", &stats);
}

}  // namespace pycompress
