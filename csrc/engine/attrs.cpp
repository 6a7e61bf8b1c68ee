#include "engine/attrs.h"

#include <algorithm>
#include <cstring>

namespace pycompress {
namespace {

[[noreturn]] void wrong_kind(const char* name, const char* wanted) {
  fail("attribute '" + std::string(name) + "' must be " + wanted);
}

template <typename From, typename To>
void append(const AttrArray& array, std::vector<To>* out) {
  const size_t n = array.bytes.size() / sizeof(From);
  for (size_t i = 0; i < n; ++i) {
    From value;
    std::memcpy(&value, array.bytes.data() + i * sizeof(From), sizeof(From));
    out->push_back(static_cast<To>(value));
  }
}

}  // namespace

const Tensor* NodeDef::constant(int i) const {
  return i < inputs() ? constants_[static_cast<size_t>(i)] : nullptr;
}

const Tensor& NodeDef::need_weights(int i, const char* what) const {
  const Tensor* tensor = constant(i);
  if (tensor == nullptr) fail("input " + str(i) + " (" + what + ") must be a constant");
  if (tensor->data == nullptr && tensor->elements() > 0 && !store_->restores())
    fail("input " + str(i) + " (" + what + ") is a constant without values");
  return *tensor;
}

const Tensor& NodeDef::need_constant(int i, const char* what) const {
  const Tensor& tensor = need_weights(i, what);
  if (tensor.data == nullptr && tensor.elements() > 0)
    fail("input " + str(i) + " (" + what + ") is a constant without values");
  return tensor;
}

const AttrValue* NodeDef::find(const char* name) const {
  const auto found = attrs_.find(name);
  if (found == attrs_.end()) return nullptr;
  read_.emplace_back(name);
  return &found->second;
}

bool NodeDef::has_attr(const char* name) const { return find(name) != nullptr; }

int64_t NodeDef::integer(const char* name, int64_t otherwise) const {
  const AttrValue* value = find(name);
  if (value == nullptr) return otherwise;
  if (const auto* i = std::get_if<int64_t>(value)) return *i;
  const std::vector<int64_t> all = integers(name);
  if (all.size() != 1) wrong_kind(name, "an integer");
  return all[0];
}

float NodeDef::number(const char* name, float otherwise) const {
  if (find(name) == nullptr) return otherwise;
  const std::vector<float> all = numbers(name);
  if (all.size() != 1) wrong_kind(name, "a number");
  return all[0];
}

std::string NodeDef::text(const char* name, const std::string& otherwise) const {
  const AttrValue* value = find(name);
  if (value == nullptr) return otherwise;
  const auto* s = std::get_if<std::string>(value);
  if (s == nullptr) wrong_kind(name, "a string");
  return *s;
}

std::vector<int64_t> NodeDef::integers(const char* name) const {
  const AttrValue* value = find(name);
  if (value == nullptr) return {};
  if (const auto* i = std::get_if<int64_t>(value)) return {*i};
  if (const auto* list = std::get_if<std::vector<int64_t>>(value)) return *list;
  std::vector<int64_t> out;
  if (const auto* array = std::get_if<AttrArray>(value)) {
    switch (array->dtype) {
      case DType::s64:
        append<int64_t>(*array, &out);
        return out;
      case DType::s32:
        append<int32_t>(*array, &out);
        return out;
      case DType::s8:
        append<int8_t>(*array, &out);
        return out;
      case DType::u8:
        append<uint8_t>(*array, &out);
        return out;
      case DType::u16:
        append<uint16_t>(*array, &out);
        return out;
      case DType::s16:
        append<int16_t>(*array, &out);
        return out;
      case DType::u32:
        append<uint32_t>(*array, &out);
        return out;
      case DType::b8:
        append<uint8_t>(*array, &out);
        return out;
      default:
        break;
    }
  }
  // An empty list has no type of its own.
  if (const auto* list = std::get_if<std::vector<double>>(value);
      list != nullptr && list->empty()) {
    return {};
  }
  wrong_kind(name, "a list of integers");
}

std::vector<float> NodeDef::numbers(const char* name) const {
  const AttrValue* value = find(name);
  if (value == nullptr) return {};
  std::vector<float> out;
  if (const auto* x = std::get_if<double>(value)) return {static_cast<float>(*x)};
  if (const auto* list = std::get_if<std::vector<double>>(value)) {
    for (double x : *list) out.push_back(static_cast<float>(x));
    return out;
  }
  if (const auto* array = std::get_if<AttrArray>(value)) {
    if (array->dtype == DType::f32)
      append<float>(*array, &out);
    else if (array->dtype == DType::f64)
      append<double>(*array, &out);
    else
      wrong_kind(name, "float numbers");
    return out;
  }
  if (std::holds_alternative<std::string>(*value))
    wrong_kind(name, "a number or a list of numbers");
  for (int64_t i : integers(name)) out.push_back(static_cast<float>(i));
  return out;
}

std::vector<std::string> NodeDef::words(const char* name) const {
  std::vector<std::string> out;
  const std::string all = text(name, "");
  size_t begin = 0;
  while (begin < all.size()) {
    const size_t end = std::min(all.find(',', begin), all.size());
    out.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

const AttrArray* NodeDef::array(const char* name) const {
  const AttrValue* value = find(name);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<AttrArray>(value);
  if (array == nullptr) wrong_kind(name, "an array");
  return array;
}

const Attrs& NodeDef::all_attrs() const {
  for (const auto& [name, value] : attrs_) read_.push_back(name);
  return attrs_;
}

void NodeDef::ignore(std::initializer_list<const char*> names) const {
  for (const char* name : names) read_.emplace_back(name);
}

void NodeDef::check_all_read() const {
  for (const auto& [name, value] : attrs_) {
    if (std::find(read_.begin(), read_.end(), name) == read_.end()) {
      fail("attribute '" + name + "' is not known");
    }
  }
}

}  // namespace pycompress
