"""Element types and shapes of values, as far as ONNX shape inference finds them."""

from __future__ import annotations

from onnx import ModelProto, shape_inference


def with_types(proto: ModelProto) -> ModelProto:
    """Return the model with the types that can be inferred; as it is where that fails.

    Shapes are a help to the rules that follow and never a condition, so a model that inference
    stumbles over (custom operators, contradictory annotations) is read all the same.
    """
    try:
        return shape_inference.infer_shapes(
            proto, check_type=False, strict_mode=False, data_prop=True
        )
    except (shape_inference.InferenceError, RuntimeError, ValueError, TypeError, MemoryError):
        return proto
