// ONNX messages -> tuples: the part of onnx.proto that the reader needs, as tables.
#include <pybind11/numpy.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "onnx/wire.h"

namespace pycompress {
namespace {

namespace py = pybind11;
using onnx::Cursor;
using onnx::Field;
using onnx::Wire;

constexpr int kDeepest = 64;  // nested messages; an If in an If in an If takes three each

// What becomes of a field. Those that come once are None until they do; the others are lists, ()
// when empty, and the last five arrays, None when empty.
enum class Kind : uint8_t {
  kInt32,
  kInt64,
  kFloat,
  kText,   // UTF-8, or an error
  kBytes,  // str where it is UTF-8, else bytes
  kSpan,   // (begin, end) in the file
  kMessage,
  kTexts,
  kBytesList,
  kMessages,
  kInts,
  kFloats,
  kFloat32Array,
  kFloat64Array,
  kInt32Array,
  kInt64Array,
  kUint64Array,
};

struct Message;
struct Slot {
  uint32_t number;
  Kind kind;
  const Message* inner = nullptr;
};
struct Message {
  const char* name;
  std::vector<Slot> slots;
};

// The order of the slots is that of the fields of the class of the same name in
// readers/onnx/messages.py. The numbers are those of onnx.proto.
const Message kEntry{"Entry", {{1, Kind::kText}, {2, Kind::kText}}};
const Message kOpset{"Opset", {{1, Kind::kText}, {2, Kind::kInt64}}};
const Message kDim{"Dim", {{1, Kind::kInt64}, {2, Kind::kText}}};
const Message kShape{"Shape", {{1, Kind::kMessages, &kDim}}};
const Message kTensorType{"TensorType", {{1, Kind::kInt32}, {2, Kind::kMessage, &kShape}}};
const Message kType{"Type", {{1, Kind::kMessage, &kTensorType}}};
const Message kValueInfo{"ValueInfo", {{1, Kind::kText}, {2, Kind::kMessage, &kType}}};
const Message kTensor{"Tensor",
                      {{1, Kind::kInts},
                       {2, Kind::kInt32},
                       {4, Kind::kFloat32Array},
                       {5, Kind::kInt32Array},
                       {6, Kind::kBytesList},
                       {7, Kind::kInt64Array},
                       {8, Kind::kText},
                       {9, Kind::kSpan},
                       {10, Kind::kFloat64Array},
                       {11, Kind::kUint64Array},
                       {13, Kind::kMessages, &kEntry},
                       {14, Kind::kInt32}}};
extern const Message kGraph;
const Message kAttribute{"Attribute",
                         {{1, Kind::kText},
                          {2, Kind::kFloat},
                          {3, Kind::kInt64},
                          {4, Kind::kBytes},
                          {5, Kind::kMessage, &kTensor},
                          {6, Kind::kMessage, &kGraph},
                          {7, Kind::kFloats},
                          {8, Kind::kInts},
                          {9, Kind::kBytesList},
                          {20, Kind::kInt32}}};
const Message kNode{"Node",
                    {{1, Kind::kTexts},
                     {2, Kind::kTexts},
                     {3, Kind::kText},
                     {4, Kind::kText},
                     {5, Kind::kMessages, &kAttribute},
                     {7, Kind::kText},
                     {9, Kind::kMessages, &kEntry}}};
const Message kAnything{"Anything", {}};
const Message kGraph{"Graph",
                     {{1, Kind::kMessages, &kNode},
                      {2, Kind::kText},
                      {5, Kind::kMessages, &kTensor},
                      {10, Kind::kBytes},
                      {11, Kind::kMessages, &kValueInfo},
                      {12, Kind::kMessages, &kValueInfo},
                      {13, Kind::kMessages, &kValueInfo},
                      {15, Kind::kMessages, &kAnything}}};
const Message kModel{"Model",
                     {{7, Kind::kMessage, &kGraph},
                      {8, Kind::kMessages, &kOpset},
                      {14, Kind::kMessages, &kEntry},
                      {25, Kind::kMessages, &kAnything}}};

// The most frequent first.
const Message* const kMessages[] = {&kAttribute, &kNode,       &kTensor,    &kDim,   &kShape,
                                    &kType,      &kTensorType, &kValueInfo, &kEntry, &kOpset,
                                    &kAnything,  &kGraph,      &kModel};

constexpr bool is_repeated(Kind kind) { return kind >= Kind::kTexts; }
constexpr bool is_list(Kind kind) { return kind >= Kind::kTexts && kind <= Kind::kFloats; }
constexpr bool is_scalars(Kind kind) { return kind >= Kind::kInts; }

// The wire type of one element.
constexpr Wire wire_of(Kind kind) {
  switch (kind) {
    case Kind::kInt32:
    case Kind::kInt64:
    case Kind::kInts:
    case Kind::kInt32Array:
    case Kind::kInt64Array:
    case Kind::kUint64Array:
      return Wire::kVarint;
    case Kind::kFloat:
    case Kind::kFloats:
    case Kind::kFloat32Array:
      return Wire::kFixed32;
    case Kind::kFloat64Array:
      return Wire::kFixed64;
    default:
      return Wire::kBytes;
  }
}

float as_float(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, sizeof(value));
  return value;
}

// Numbers of a packed or a single field, in the type T that is read off their 64 bits.
template <typename T, typename Append>
void each_number(const uint8_t* file, const Field& field, Wire wire, const Append& append) {
  if (field.wire == wire) {
    append(field.value);
    return;
  }
  Cursor cursor(file, field.begin, field.end);
  while (!cursor.done()) {
    append(wire == Wire::kVarint ? cursor.varint() : cursor.fixed(sizeof(T)));
  }
}

template <typename T>
T number(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));  // the low bytes, on these little-endian machines
  return value;
}

template <typename T>
py::object array(const uint8_t* file, const std::vector<Field>& fields, Wire wire) {
  const bool packed = fields.size() == 1 && fields[0].wire == Wire::kBytes;
  if (packed && wire != Wire::kVarint && (fields[0].end - fields[0].begin) % sizeof(T) == 0) {
    const size_t size = fields[0].end - fields[0].begin;
    py::array_t<T> whole(static_cast<py::ssize_t>(size / sizeof(T)));
    std::memcpy(whole.mutable_data(), file + fields[0].begin, size);
    return std::move(whole);
  }
  std::vector<T> values;
  for (const Field& field : fields) {
    if (field.wire == Wire::kBytes) {
      values.reserve(values.size() +
                     (field.end - field.begin) / (wire == Wire::kVarint ? 8 : sizeof(T)));
    }
    each_number<T>(file, field, wire, [&](uint64_t bits) { values.push_back(number<T>(bits)); });
  }
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

class Parser {
 public:
  Parser(const uint8_t* file, const py::dict& classes) : file_(file) {
    for (const Message* kind : kMessages) types_.emplace_back(kind, type_of(*kind, classes));
  }

  // An instance of the class of the message's name: a NamedTuple, filled in its order.
  py::object message(const Message& kind, size_t begin, size_t end, int depth) const {
    if (depth > kDeepest) {
      throw std::invalid_argument("its graphs are nested more than " + std::to_string(kDeepest) +
                                  " messages deep");
    }
    const size_t count = kind.slots.size();
    const py::object made = instance(kind);
    std::vector<std::vector<Field>> numbers;  // of fields that become arrays
    Cursor cursor(file_, begin, end);
    while (!cursor.done()) {
      const Field field = cursor.next();
      for (size_t i = 0; i < count; ++i) {
        const Slot& slot = kind.slots[i];
        if (slot.number != field.number) continue;
        const bool fits = field.wire == wire_of(slot.kind) ||
                          (is_scalars(slot.kind) && field.wire == Wire::kBytes);
        if (!fits) break;  // as protobuf has it: a field that is not known
        if (is_scalars(slot.kind) && !is_list(slot.kind)) {
          numbers.resize(count);
          numbers[i].push_back(field);
        } else {
          put(made, static_cast<py::ssize_t>(i), kind, slot, field, depth);
        }
        break;
      }
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (!numbers[i].empty())
        set(made, static_cast<py::ssize_t>(i), numbers_of(kind.slots[i].kind, numbers[i]));
    }
    return made;
  }

 private:
  static PyTypeObject* type_of(const Message& kind, const py::dict& classes) {
    PyObject* type = PyDict_GetItemString(classes.ptr(), kind.name);
    if (type == nullptr) throw std::invalid_argument(std::string("no class for ") + kind.name);
    return reinterpret_cast<PyTypeObject*>(type);
  }

  py::object instance(const Message& kind) const {
    size_t at = 0;
    while (types_[at].first != &kind) ++at;
    PyTypeObject* type = types_[at].second;
    const auto count = static_cast<py::ssize_t>(kind.slots.size());
    PyObject* made = type->tp_alloc(type, count);
    if (made == nullptr) throw py::error_already_set();
    for (py::ssize_t i = 0; i < count; ++i) {
      const bool list = is_list(kind.slots[static_cast<size_t>(i)].kind);
      PyObject* absent = list ? nothing_.ptr() : Py_None;
      Py_INCREF(absent);
      PyTuple_SET_ITEM(made, i, absent);
    }
    return py::reinterpret_steal<py::object>(made);
  }

  // The list of a field that comes many times, a new one when this is the first time.
  PyObject* list(const py::object& made, py::ssize_t i) const {
    PyObject* now = PyTuple_GET_ITEM(made.ptr(), i);
    if (now != nothing_.ptr()) return now;
    set(made, i, py::list());
    return PyTuple_GET_ITEM(made.ptr(), i);
  }

  static void set(const py::object& made, py::ssize_t i, py::object value) {
    PyObject* before = PyTuple_GET_ITEM(made.ptr(), i);
    PyTuple_SET_ITEM(made.ptr(), i, value.release().ptr());
    Py_DECREF(before);
  }

  void put(const py::object& made, py::ssize_t i, const Message& kind, const Slot& slot,
           const Field& field, int depth) const {
    PyObject* now = PyTuple_GET_ITEM(made.ptr(), i);
    if (slot.kind == Kind::kInts || slot.kind == Kind::kFloats) {
      now = list(made, i);
      each_number<float>(file_, field, wire_of(slot.kind), [&](uint64_t bits) {
        append(now, slot.kind == Kind::kInts
                        ? PyLong_FromLongLong(static_cast<int64_t>(bits))
                        : PyFloat_FromDouble(static_cast<double>(as_float(bits))));
      });
      return;
    }
    if (slot.kind == Kind::kMessage && now != Py_None) {
      throw std::invalid_argument(std::string("a message '") + kind.name +
                                  "' has twice what it may have once");
    }
    py::object value = single(slot, field, depth);
    if (is_repeated(slot.kind)) {
      append(list(made, i), value.release().ptr());
    } else {
      set(made, i, std::move(value));
    }
  }

  static void append(PyObject* list, PyObject* owned) {
    const int failed = owned == nullptr ? -1 : PyList_Append(list, owned);
    Py_XDECREF(owned);
    if (failed != 0) throw py::error_already_set();
  }

  py::object single(const Slot& slot, const Field& field, int depth) const {
    switch (slot.kind) {
      case Kind::kInt32:
        return py::int_(static_cast<int32_t>(field.value));
      case Kind::kInt64:
        return py::int_(static_cast<int64_t>(field.value));
      case Kind::kFloat:
        return py::float_(as_float(field.value));
      case Kind::kSpan:
        return py::make_tuple(field.begin, field.end);
      case Kind::kMessage:
      case Kind::kMessages:
        return message(*slot.inner, field.begin, field.end, depth + 1);
      case Kind::kText:
      case Kind::kTexts:
        return text(field, true);
      default:
        return text(field, false);
    }
  }

  py::object text(const Field& field, bool must_be) const {
    const auto* from = reinterpret_cast<const char*>(file_ + field.begin);
    const auto size = static_cast<py::ssize_t>(field.end - field.begin);
    PyObject* made = PyUnicode_DecodeUTF8(from, size, nullptr);
    if (made != nullptr) return py::reinterpret_steal<py::object>(made);
    PyErr_Clear();
    if (!must_be) return py::bytes(from, static_cast<size_t>(size));
    throw std::invalid_argument("a name is not text: the " + std::to_string(size) +
                                " bytes at byte " + std::to_string(field.begin));
  }

  py::object numbers_of(Kind kind, const std::vector<Field>& fields) const {
    switch (kind) {
      case Kind::kFloat32Array:
        return array<float>(file_, fields, Wire::kFixed32);
      case Kind::kFloat64Array:
        return array<double>(file_, fields, Wire::kFixed64);
      case Kind::kInt32Array:
        return array<int32_t>(file_, fields, Wire::kVarint);
      case Kind::kInt64Array:
        return array<int64_t>(file_, fields, Wire::kVarint);
      default:
        return array<uint64_t>(file_, fields, Wire::kVarint);
    }
  }

  const uint8_t* file_;
  const py::tuple nothing_{0};
  std::vector<std::pair<const Message*, PyTypeObject*>> types_;
};

}  // namespace

void bind_onnx(py::module_& module) {
  module.def(
      "parse_onnx",
      [](const py::array& bytes, const py::dict& classes) {
        const auto* file = need<uint8_t>("bytes", bytes);
        const auto size = static_cast<size_t>(bytes.size());
        return Parser(file, classes).message(kModel, 0, size, 0);
      },
      py::arg("bytes"), py::arg("classes"),
      "The messages of an ONNX file (uint8), each an instance of the NamedTuple of its name.");
}

}  // namespace pycompress
