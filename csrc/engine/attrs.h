// A node as an operator's constructor sees it: its inputs as far as they are known, and its
// attributes.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "engine/pack_store.h"
#include "engine/tensor.h"
#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

// An array among the attributes, copied.
struct AttrArray {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<uint8_t> bytes;
};

using AttrValue = std::variant<int64_t, double, std::string, std::vector<int64_t>,
                               std::vector<double>, AttrArray>;
using Attrs = std::map<std::string, AttrValue>;

// Accessors throw std::invalid_argument that names the attribute. Every attribute that was never
// asked for is an error (check_all_read): what an operator does not understand is not dropped
// silently.
class NodeDef {
 public:
  NodeDef(const Attrs& attrs, std::vector<const Tensor*> constants, std::vector<bool> present,
          int outputs, const KernelSet& set, ThreadPool* pool, PackStore* store)
      : attrs_(attrs),
        constants_(std::move(constants)),
        present_(std::move(present)),
        outputs_(outputs),
        set_(set),
        pool_(pool),
        store_(store),
        released_(present_.size(), false) {}

  int inputs() const { return static_cast<int>(present_.size()); }
  int outputs() const { return outputs_; }
  bool has(int i) const { return i < inputs() && present_[static_cast<size_t>(i)]; }
  // The value of input i when it is a constant of the program, else null.
  const Tensor* constant(int i) const;
  // The same, for an input that has to be a constant: throws and names it otherwise.
  const Tensor& need_constant(int i, const char* what) const;
  // The same, when the operator only packs the values, through store(): they may be absent where
  // the store has the packed form. Its shape and dtype are there.
  const Tensor& need_weights(int i, const char* what) const;
  PackStore& store() const { return *store_; }
  // Says that the operator keeps its own form of constant i and never reads it again in plan() or
  // run(): its memory is given back when no other node needs it. Its shape and dtype stay visible.
  void release(int i) const { released_[static_cast<size_t>(i)] = true; }

  bool has_attr(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise) const;
  bool flag(const char* name, bool otherwise) const { return integer(name, otherwise) != 0; }
  float number(const char* name, float otherwise) const;
  std::string text(const char* name, const std::string& otherwise) const;
  std::vector<int64_t> integers(
      const char* name) const;                         // empty when absent; arrays of integers too
  std::vector<float> numbers(const char* name) const;  // empty when absent; scalars and arrays too
  std::vector<std::string> words(const char* name) const;  // text split at ','; empty when absent
  const AttrArray* array(const char* name) const;          // null when absent
  // All of them, for an operator that hands them on to another, which asks for each.
  const Attrs& all_attrs() const;
  // Says that an attribute is understood to have no effect here.
  void ignore(std::initializer_list<const char*> names) const;

  const KernelSet& set() const { return set_; }
  ThreadPool* pool() const { return pool_; }

  void check_all_read() const;
  bool released(int i) const { return released_[static_cast<size_t>(i)]; }

 private:
  const AttrValue* find(const char* name) const;

  const Attrs& attrs_;
  std::vector<const Tensor*> constants_;
  std::vector<bool> present_;
  int outputs_;
  const KernelSet& set_;
  ThreadPool* pool_;
  PackStore* store_;
  mutable std::vector<bool> released_;
  mutable std::vector<std::string> read_;
};

}  // namespace pycompress
