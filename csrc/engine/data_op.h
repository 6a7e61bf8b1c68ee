// Operators that find out how large their results are only from the values of their inputs. A plan
// knows shapes before it runs, so that they are no part of one: each runs by itself, between
// programs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/attrs.h"
#include "engine/tensor.h"

namespace pycompress {

struct DataResult {
  DType dtype = DType::s64;
  Shape shape;
  std::vector<uint8_t> bytes;

  template <typename T>
  static DataResult of(const Shape& shape, const std::vector<T>& values) {
    DataResult result{DTypeOf<T>::value, shape, {}};
    const auto* begin = reinterpret_cast<const uint8_t*>(values.data());
    result.bytes.assign(begin, begin + values.size() * sizeof(T));
    return result;
  }
};

class DataOp {
 public:
  virtual ~DataOp() = default;
  // inputs: null where one is left out. Throws std::invalid_argument.
  virtual std::vector<DataResult> run(const std::vector<const Tensor*>& inputs) const = 0;
};

using DataOpPtr = std::unique_ptr<DataOp>;

struct DataEntry {
  const char* name;
  DataOpPtr (*make)(const NodeDef& node);
  int min_inputs, max_inputs, max_outputs;
};

const DataEntry* find_data_op(const std::string& name);  // null when there is none
std::vector<std::string> data_op_names();

// ops/select.cpp
DataOpPtr make_non_zero(const NodeDef& node);
DataOpPtr make_compress(const NodeDef& node);
// ops/unique.cpp
DataOpPtr make_unique_op(const NodeDef& node);
// ops/suppress.cpp
DataOpPtr make_non_max_suppression(const NodeDef& node);

}  // namespace pycompress
