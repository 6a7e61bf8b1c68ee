"""Element types that follow from operators: enough to read most models without asking onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Graph, Node, Value

    Rule = Callable[[Node], "np.dtype[Any] | None"]

_SAME = (
    *("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Softplus"),
    *("Gelu", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Sign", "Floor", "Ceil"),
    *("Round", "Sin", "Cos", "Clip", "Identity", "Softmax", "LogSoftmax", "BatchNormalization"),
    *("LayerNormalization", "InstanceNormalization", "CumSum", "Trilu", "Not", "PRelu"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "And", "Or", "Xor"),
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"),
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    *("MatMul", "Gemm", "Flatten", "Transpose", "Reshape", "Concat", "Gather", "Unsqueeze"),
    *("Squeeze", "Expand", "Slice", "Pad", "Resize", "Split"),
)
_BOOL = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


def _of(index: int) -> Rule:
    def rule(node: Node) -> np.dtype[Any] | None:
        value = node.input(index)
        return None if value is None else value.dtype

    return rule


def _always(dtype: Any) -> Rule:  # noqa: ANN401 - whatever np.dtype takes
    found: np.dtype[Any] = np.dtype(dtype)
    return lambda _: found


def _quantized(node: Node) -> np.dtype[Any] | None:
    zero = node.input(2)
    if "output_dtype" in node.attrs:
        return None
    return np.dtype(np.uint8) if zero is None else zero.dtype


def _cast(node: Node) -> np.dtype[Any] | None:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(int(node.attrs["to"])))


def _dequantized(node: Node) -> np.dtype[Any] | None:
    return None if "output_dtype" in node.attrs else _of(1)(node)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, _of(0)),
    **dict.fromkeys(_BOOL, _always(np.bool_)),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), _always(np.int32)),
    "Shape": _always(np.int64),
    "Where": _of(1),
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _dequantized,
    "Cast": _cast,
    "DynamicQuantizeLinear": _always(np.uint8),
}

OPS = frozenset(_RULES)
"""Standard operators whose outputs have the type that a rule here says."""

_OTHERS: dict[str, tuple[np.dtype[Any], ...]] = {
    "DynamicQuantizeLinear": (np.dtype(np.float32), np.dtype(np.uint8)),
    "MaxPool": (np.dtype(np.int64),),
}
"""Types of further outputs, where they differ from the first."""


def infer_types(graph: Graph) -> None:
    """Fill in the element types that follow from the operators in `OPS`, in place."""
    for node in graph.nodes:
        if node.op not in OPS or node.domain:
            continue
        dtype = _RULES[node.op](node)
        others = _OTHERS.get(node.op) or (dtype,) * len(node.outputs)
        for value, found in zip(node.outputs, (dtype, *others), strict=False):
            value.dtype = found if value.dtype is None else value.dtype


def is_complete(graph: Graph) -> bool:
    """Tell whether type and every size of all values is known, by number or by name."""
    return all(_is_known(v) for node in graph.nodes for v in node.outputs)


def _is_known(value: Value) -> bool:
    return value.dtype is not None and value.shape is not None and None not in value.shape
