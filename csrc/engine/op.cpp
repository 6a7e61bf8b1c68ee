#include "engine/op.h"

namespace pycompress {

PlanContext::PlanContext(const KernelSet& set, ThreadPool* pool,
                         std::vector<const PlanValue*> inputs, int outputs)
    : set_(set), pool_(pool), inputs_(std::move(inputs)), outputs_(static_cast<size_t>(outputs)) {}

std::vector<int64_t> PlanContext::integers(int i, const char* what) const {
  const Tensor* tensor = known(i);
  if (tensor == nullptr) {
    fail("input " + str(i) + " (" + what +
         ") decides shapes, but its value is not known before the run");
  }
  const auto n = static_cast<size_t>(tensor->elements());
  if (tensor->dtype == DType::s64) {
    return {tensor->as<int64_t>(), tensor->as<int64_t>() + n};
  }
  if (tensor->dtype == DType::s32) {
    return {tensor->as<int32_t>(), tensor->as<int32_t>() + n};
  }
  fail("input " + str(i) + " (" + what + ") must be int64, found " + dtype_name(tensor->dtype));
}

void PlanContext::need_dtype(int i, DType dtype, const char* what) const {
  if (value(i).dtype != dtype) {
    fail("input " + str(i) + " (" + what + ") must be " + dtype_name(dtype) + ", found " +
         dtype_name(value(i).dtype));
  }
}

void PlanContext::output(int i, DType dtype, const Shape& shape) {
  shape.check();
  Output& out = outputs_[static_cast<size_t>(i)];
  out.set = true;
  out.dtype = dtype;
  out.shape = shape;
}

void PlanContext::view(int i, int in) { outputs_[static_cast<size_t>(i)].view_of = in; }

void PlanContext::in_place(int i, int in) { outputs_[static_cast<size_t>(i)].over.push_back(in); }

void PlanContext::known_output(int i, const std::vector<int64_t>& values) {
  Output& out = outputs_[static_cast<size_t>(i)];
  out.known = true;
  out.values = values;
}

}  // namespace pycompress
