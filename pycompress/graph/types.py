"""Element types that follow from operators: enough to read most models without asking onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Graph, Node

    Rule = Callable[[Node], "np.dtype[Any] | None"]

_SAME = (
    *("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Softplus"),
    *("Gelu", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Sign", "Floor", "Ceil"),
    *("Round", "Sin", "Cos", "Clip", "Identity", "Softmax", "LogSoftmax", "BatchNormalization"),
    *("LayerNormalization", "InstanceNormalization", "CumSum", "Trilu", "Not", "PRelu"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "And", "Or", "Xor"),
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
    *("MatMul", "Gemm", "Flatten", "Transpose", "Reshape", "Concat", "Gather", "Unsqueeze"),
    *("Squeeze", "Expand", "Slice", "Pad", "Resize", "Split", "Range", "LSTM", "GRU", "RNN"),
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
    code = int(node.attrs["to"])
    if code in _CODES:
        return _CODES[code]
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(code))


def _filled(node: Node) -> np.dtype[Any] | None:
    fill = node.attrs.get("value")
    return np.dtype(np.float32) if fill is None else fill.dtype


def _dequantized(node: Node) -> np.dtype[Any] | None:
    return None if "output_dtype" in node.attrs else _of(1)(node)


_CODES = {
    code: np.dtype(name)
    for code, name in enumerate(
        (
            *("float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "", "bool"),
            *("float16", "float64", "uint32", "uint64"),
        ),
        start=1,
    )
    if name  # 8 are strings
}
"""The element types that NumPy has, by the numbers of onnx.proto."""

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, _of(0)),
    **dict.fromkeys(_BOOL, _always(np.bool_)),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), _always(np.int32)),
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin"), _always(np.int64)),
    "ConstantOfShape": _filled,
    "Where": _of(1),
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _dequantized,
    "Cast": _cast,
    "DynamicQuantizeLinear": _always(np.uint8),
}

OPS = frozenset((*_RULES, "If"))
"""Standard operators whose outputs have the type that a rule here says."""

FOLLOWS: dict[str, int | np.dtype[Any]] = {
    **dict.fromkeys(_SAME, 0),
    **dict.fromkeys(_BOOL, np.dtype(np.bool_)),
    "Where": 1,
}
"""The type of the result, or the input that has it: operators for which that is all there is."""

_OTHERS: dict[str, tuple[np.dtype[Any], ...]] = {
    "DynamicQuantizeLinear": (np.dtype(np.float32), np.dtype(np.uint8)),
    "MaxPool": (np.dtype(np.int64),),
}
"""Types of further outputs, where they differ from the first."""


def infer_types(graph: Graph) -> None:
    """Fill in the element types that follow from the operators in `OPS`, in place."""
    for node in graph.nodes:
        infer_type(node)


def infer_type(node: Node) -> None:
    """Fill in the element types of a node's outputs, where they follow from the operator."""
    outputs = node.outputs
    if node.op not in OPS or node.domain:
        return
    if node.op == "If":
        for value, *results in zip(outputs, *(g.outputs for g in node.subgraphs()), strict=False):
            value.dtype = results[0].dtype if value.dtype is None else value.dtype
        return
    dtype = _RULES[node.op](node)
    if len(outputs) == 1:
        outputs[0].dtype = dtype if outputs[0].dtype is None else outputs[0].dtype
        return
    others = _OTHERS.get(node.op) or (dtype,) * len(outputs)
    for value, found in zip(outputs, (dtype, *others), strict=False):
        value.dtype = found if value.dtype is None else value.dtype
