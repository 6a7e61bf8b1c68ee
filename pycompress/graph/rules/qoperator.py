"""QOperator nodes -> DequantizeLinear, the float operator, QuantizeLinear.

A model that was quantized in QOperator form is so brought into QDQ form, and the other rules take
it from there. QLinearConv and QLinearMatMul are standard; the others belong to ONNX Runtime's
domain ``com.microsoft``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import Node, Quantized, Value
from pycompress.graph.pattern import Match, Rule

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_MS = "com.microsoft."


def _float(
    edit: Edit,
    match: Match,
    name: str,
    axis: int | None = None,
) -> Value:
    """Return the float value of an operand, with the scale and zero point beside it."""
    x, scale, zero = match[name], match[f"{name}_scale"], match.get(f"{name}_zero")
    return _dequantized(edit, x, scale, zero, axis)


def _dequantized(edit: Edit, x: Value, scale: Value, zero: Value | None, axis: int | None) -> Value:
    inputs: list[Value | None] = [x, scale, *([] if zero is None else [zero])]
    per_axis = axis is not None and scale.const is not None and scale.array().size > 1
    attrs = {"axis": axis} if per_axis else {}
    for reader in edit.readers(x):  # several operators may read one value
        if reader.is_op("DequantizeLinear") and reader.inputs == inputs and reader.attrs == attrs:
            return reader.output
    name = edit.names.fresh(f"{x.name}_float")
    out = Value(name, np.dtype(np.float32), x.shape)
    node = Node("DequantizeLinear", inputs, [out], attrs, name=edit.names.fresh(f"{name}_node"))
    return edit.add(node).output


def _finish(edit: Edit, match: Match, op: str, inputs: list[Value], attrs: dict[str, Any]) -> None:
    """Let the float operator and a QuantizeLinear behind it compute what the root computed."""
    root = match.root
    if match.get("y_scale") is None:  # QGemm may leave its result in float
        edit.supersede(root, op, list(inputs), attrs)
        return
    shape = root.output.shape
    out = Value(edit.names.fresh(f"{root.output.name}_float"), np.dtype(np.float32), shape)
    edit.add(Node(op, list(inputs), [out], attrs, name=edit.names.fresh(f"{root.name}_{op}")))
    zero = match.get("y_zero")
    edit.supersede(root, "QuantizeLinear", [out, match["y_scale"], *([zero] if zero else [])])


def _bias(edit: Edit, match: Match, factor: float = 1.0) -> list[Value]:
    """Return the int32 bias, in units of the product of the operands' scales."""
    bias = match.get("bias")
    if bias is None:
        return []
    scale = match.array("x_scale").reshape(()) * match.array("w_scale") * np.float32(factor)
    scale = scale.reshape(()) if scale.size == 1 else scale.reshape(-1)
    zero = np.zeros(scale.shape, np.int32)
    quantized = Quantized(bias.array().reshape(-1), scale, zero, None if scale.ndim == 0 else 0)
    return [edit.constant(f"{bias.name}_bias", quantized)]


def _refuse_bias(edit: Edit, match: Match) -> str | None:
    bias = match.get("bias")
    if bias is None:
        return None
    if bias.const is None or match["x_scale"].const is None or match["w_scale"].const is None:
        return "its bias or the scales of its operands are computed at run time"
    if bias.array().size != bias.array().shape[-1]:
        return "its bias is not one number for each channel"
    if match["w_scale"].array().size not in {1, bias.array().size}:
        return "its weight's scales are not one for each channel"
    return None


def _conv(edit: Edit, match: Match) -> None:
    inputs = [_float(edit, match, "x"), _float(edit, match, "w", axis=0), *_bias(edit, match)]
    _finish(edit, match, "Conv", inputs, dict(match.root.attrs))


def _matmul(edit: Edit, match: Match) -> None:
    w = match["w"]
    axis = 1 if w.shape is None else max(len(w.shape) - 1, 0)
    _finish(edit, match, "MatMul", [_float(edit, match, "x"), _float(edit, match, "w", axis)], {})


def _gemm(edit: Edit, match: Match) -> None:
    attrs = {k: v for k, v in match.root.attrs.items() if k in {"alpha", "transA", "transB"}}
    w = _float(edit, match, "w", axis=0 if attrs.get("transB") else 1)
    bias = _bias(edit, match, attrs.get("alpha", 1.0))
    _finish(edit, match, "Gemm", [_float(edit, match, "x"), w, *bias], attrs)


def _binary(edit: Edit, match: Match) -> None:
    op = match.root.op.removeprefix("QLinear")
    _finish(edit, match, op, [_float(edit, match, "x"), _float(edit, match, "w")], {})


def _unary(edit: Edit, match: Match) -> None:
    attrs = {k: v for k, v in match.root.attrs.items() if k not in {"channels_last", "opset"}}
    _finish(edit, match, match.root.op.removeprefix("QLinear"), [_float(edit, match, "x")], attrs)


def _refuse_unary(edit: Edit, match: Match) -> str | None:
    root = match.root
    if root.attrs.get("channels_last"):
        return "its channels stand last, which no standard operator says"
    if root.op == "QLinearSoftmax" and root.attrs.get("opset", 13) < 13:
        return "it is a Softmax as it was before opset 13"
    return None


def _concat(edit: Edit, node: Node) -> None:
    scale, zero, *rest = node.inputs
    parts: list[Value | None] = []
    for x, x_scale, x_zero in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if x is not None and x_scale is not None:
            parts.append(_dequantized(edit, x, x_scale, x_zero, None))
    name = edit.names.fresh(f"{node.output.name}_float")
    out = Value(name, np.dtype(np.float32), node.output.shape)
    edit.add(Node("Concat", parts, [out], {"axis": node.attrs["axis"]}, name=f"{name}_node"))
    edit.supersede(node, "QuantizeLinear", [out, scale, zero])


def expand_concats(edit: Edit) -> None:
    """Bring QLinearConcat, which takes any number of operands, into QDQ form."""
    for node in edit.nodes():
        if (node.domain, node.op) == ("com.microsoft", "QLinearConcat"):
            _concat(edit, node)


def _rename(edit: Edit, match: Match) -> None:
    root = match.root
    edit.supersede(root, root.op, list(root.inputs), dict(root.attrs))


_X = ("x", "x_scale", "x_zero?")
_W = ("w", "w_scale", "w_zero?")
_Y = ("y_scale", "y_zero?")

RULES = (
    Rule("QLinearConv -> QDQ", ("QLinearConv", *_X, *_W, *_Y, "bias?"), _conv, _refuse_bias),
    Rule("QLinearMatMul -> QDQ", ("QLinearMatMul", *_X, *_W, *_Y), _matmul),
    Rule(
        "QGemm -> QDQ",
        (f"{_MS}QGemm", *_X, *_W, "bias?", "y_scale?", "y_zero?"),
        _gemm,
        _refuse_bias,
    ),
    Rule("QLinearAdd -> QDQ", (f"{_MS}QLinearAdd|{_MS}QLinearMul", *_X, *_W, *_Y), _binary),
    Rule(
        "QLinearSigmoid -> QDQ",
        (
            f"{_MS}QLinearSigmoid|{_MS}QLinearLeakyRelu|{_MS}QLinearGlobalAveragePool|"
            f"{_MS}QLinearAveragePool|{_MS}QLinearSoftmax",
            *_X,
            *_Y,
        ),
        _unary,
        _refuse_unary,
    ),
    Rule(
        "QuantizeLinear of com.microsoft -> standard",
        (f"{_MS}QuantizeLinear|{_MS}DequantizeLinear", "x", "scale", "zero?"),
        _rename,
    ),
)
