// Loop and Scan: a program that runs many times without Python between the rounds.
#include "engine/rounds.h"

#include <pybind11/stl.h>

#include <cstring>

#include "bindings/program.h"
#include "bindings/tensors.h"

namespace pycompress {

namespace py = pybind11;

namespace {

constexpr int64_t kBetweenSignals = 1024;  // rounds until somebody may interrupt

std::vector<Tensor> tensors_of(const std::vector<py::array>& arrays, const std::string& what) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < arrays.size(); ++i)
    tensors.push_back(tensor_of(arrays[i], what + " " + std::to_string(i)));
  return tensors;
}

py::array copy_of(DType dtype, const Shape& shape, const void* data, size_t bytes) {
  py::array array(numpy_dtype(dtype), std::vector<py::ssize_t>(shape.begin(), shape.end()));
  if (bytes > 0) std::memcpy(array.mutable_data(), data, bytes);
  return array;
}

}  // namespace

std::pair<py::list, py::list> run_rounds(Program& program, const std::string& title,
                                         const std::vector<int>& taken,
                                         const std::vector<int>& given, bool counts, int64_t most,
                                         const std::vector<py::array>& states,
                                         const std::vector<py::array>& sliced,
                                         const std::vector<py::array>& captured) {
  std::vector<Tensor> slices = tensors_of(sliced, title + ": slices");
  for (Tensor& tensor : slices) {
    if (tensor.shape.rank() == 0) fail(title + ": a scalar has no slices");
    if (counts || tensor.shape[0] < most || most < 0)
      fail(title + ": " + str(most) + " rounds, and slices of shape " + tensor.shape.str());
    tensor.shape = Shape(tensor.shape.begin() + 1, tensor.shape.rank() - 1);
  }
  Rounds rounds(&program, {title, taken, given, counts, most},
                tensors_of(states, title + ": state"), slices,
                tensors_of(captured, title + ": captured value"));
  for (;;) {
    bool more;
    {
      const py::gil_scoped_release nogil;
      more = rounds.run(kBetweenSignals);
    }
    if (!more) break;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  py::list last;
  for (size_t i = 0; i < states.size(); ++i) {
    const Tensor& state = rounds.state(i);
    last.append(copy_of(state.dtype, state.shape, state.data, state.bytes()));
  }
  py::list stacked;
  for (const Collected& all : rounds.collected()) {
    Shape shape{rounds.done()};
    for (const int64_t dim : all.shape) shape.push(dim);
    stacked.append(copy_of(all.dtype, shape, all.bytes.data(), all.bytes.size()));
  }
  return {last, stacked};
}

}  // namespace pycompress
