// The places of fields in the tuples of readers/onnx/messages.py.
#pragma once

namespace pycompress::fields {

enum NodeField {
  kInputs,
  kOutputs,
  kNodeName,
  kOp,
  kAttributes,
  kDomain,
  kMetadata,
};
enum TensorField {
  kDims,
  kDataType,
  kFloatData,
  kInt32Data,
  kInt64Data = 5,
  kTensorName,
  kRawData,
  kDoubleData,
  kUint64Data,
  kDataLocation = 11
};
enum AttributeField {
  kName,
  kF,
  kI,
  kS,
  kT,
  kG,
  kFloats,
  kInts,
  kStrings,
  kType,
};
// AttributeProto.AttributeType
enum AttributeType {
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kFloatList = 6,
  kIntList = 7,
  kTexts = 8,
  kTensor = 4
};

}  // namespace pycompress::fields
