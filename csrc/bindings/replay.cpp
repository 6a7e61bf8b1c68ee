// The calls that built a program, out of a plan file: what runtime/plan/describe.py wrote.
#include <pybind11/stl.h>

#include "bindings/program.h"
#include "bindings/tensors.h"

namespace pycompress {
namespace {

namespace py = pybind11;

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::u8,  DType::s8,  DType::s32, DType::s64,
                            DType::b8,  DType::u16, DType::s16, DType::u32, DType::u64};

DType dtype_named(const std::string& name) {
  for (const DType dtype : kTypes) {
    if (name == dtype_name(dtype)) return dtype;
  }
  fail("the engine has no dtype " + name);
}

class Replay {
 public:
  Replay(Program& program, const py::array& data)
      : program_(program),
        owner_(keep(data)),
        data_(static_cast<const uint8_t*>(data.data())),
        size_(static_cast<int64_t>(data.nbytes())) {}

  std::vector<int> call(const py::list& row) const {
    const auto kind = row[0].cast<std::string>();
    if (kind == "add") {
      need(row, 7);
      return add(row);
    }
    if (kind == "input") {
      need(row, 4);
      const DType dtype = dtype_named(row[2].cast<std::string>());
      return {program_.input(row[1].cast<std::string>(), dtype, row[3].cast<bool>())};
    }
    if (kind == "constant") {
      need(row, 2);
      return {program_.constant(array(row[1]), owner_)};
    }
    if (kind != "hollow_constant") fail("there is no call '" + kind + "'");
    need(row, 3);
    Tensor tensor;
    tensor.dtype = dtype_named(row[1].cast<std::string>());
    tensor.shape = Shape(row[2].cast<std::vector<int64_t>>());
    return {program_.constant(tensor, nullptr)};
  }

 private:
  static void need(const py::list& row, size_t parts) {
    if (row.size() != parts) {
      fail("a call has " + std::to_string(row.size()) + " parts, wanted " + std::to_string(parts));
    }
  }

  // op, name, inputs, outputs, attributes, packed weights
  std::vector<int> add(const py::list& row) const {
    const auto op = row[1].cast<std::string>();
    const auto name = row[2].cast<std::string>();
    Attrs attrs;
    for (const auto& [key, value] : row[5].cast<py::dict>()) {
      const auto attr = key.cast<std::string>();
      attrs.emplace(attr, py::isinstance<py::dict>(value)
                              ? array_attr(value.cast<py::dict>()["array"])
                              : attr_of(value, attr));
    }
    std::vector<Stored> weights;
    for (const py::handle part : row[6].cast<py::list>()) {
      const auto pair = part.cast<py::list>();
      need(pair, 2);
      Stored stored;
      stored.layout = pair[0].cast<std::vector<int64_t>>();
      for (const py::handle block : pair[1].cast<py::list>()) {
        const Tensor tensor = array(block);
        stored.blocks.push_back({owner_, static_cast<const uint8_t*>(tensor.data), tensor.bytes()});
      }
      weights.push_back(std::move(stored));
    }
    const auto inputs = row[3].cast<std::vector<int>>();
    const auto outputs = row[4].cast<int>();
    const py::gil_scoped_release nogil;
    return program_.add(op, name, inputs, outputs, attrs, PackStore(std::move(weights)));
  }

  // A tensor where it lies in the data, by [offset, dtype, shape].
  Tensor array(const py::handle& reference) const {
    const auto parts = reference.cast<py::list>();
    need(parts, 3);
    const auto offset = parts[0].cast<int64_t>();
    Tensor tensor;
    tensor.dtype = dtype_named(parts[1].cast<std::string>());
    const auto element = static_cast<int64_t>(dtype_size(tensor.dtype));
    const auto dims = parts[2].cast<std::vector<int64_t>>();
    int64_t bytes = element;
    bool fits = offset >= 0 && offset % element == 0 && offset <= size_;
    for (const int64_t dim : dims) {
      fits = fits && dim >= 0 && (bytes == 0 || dim <= size_ / bytes);
      bytes = fits ? bytes * dim : 0;
    }
    if (!fits || bytes > size_ - offset) {
      fail("an array at " + std::to_string(offset) + " does not lie in the file");
    }
    tensor.shape = Shape(dims);
    tensor.data = const_cast<uint8_t*>(data_ + offset);
    return tensor;
  }

  AttrValue array_attr(const py::handle& reference) const {
    const Tensor tensor = array(reference);
    const auto* bytes = static_cast<const uint8_t*>(tensor.data);
    return AttrArray{tensor.dtype, tensor.shape,
                     std::vector<uint8_t>(bytes, bytes + tensor.bytes())};
  }

  Program& program_;
  std::shared_ptr<void> owner_;
  const uint8_t* data_;
  int64_t size_;
};

}  // namespace

std::vector<std::vector<int>> replay(Program& program, const py::list& calls,
                                     const py::array& data) {
  const Replay replayed(program, data);
  std::vector<std::vector<int>> made;
  try {
    for (const py::handle row : calls) made.push_back(replayed.call(row.cast<py::list>()));
  } catch (const py::cast_error&) {
    fail("call " + std::to_string(made.size()) + " of a program has a part of another type");
  }
  return made;
}

}  // namespace pycompress
