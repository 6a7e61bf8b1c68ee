"""DequantizeLinear of a constant -> a constant that is kept in integers (`Quantized`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Node, Quantized, Value
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.survey import survey

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_INTEGERS = frozenset(map(np.dtype, ("int8", "uint8", "int32")))


def _refuse(edit: Edit, match: Match) -> str | None:
    data, scale, zero = match["DATA"].const, match["SCALE"].const, match.get("ZERO")
    if edit.is_output(match.root.output):
        return "its result is an output of the graph"
    if not isinstance(data, np.ndarray) or data.dtype not in _INTEGERS:
        return f"its integers are of type {match['DATA'].dtype}"
    if not isinstance(scale, np.ndarray) or scale.dtype != np.float32:
        return f"its scale is of type {match['SCALE'].dtype}, not float32"
    if match.root.attrs.get("block_size"):
        return "its scales cover blocks, not channels"
    if scale.size == 1:
        return None
    axis = match.root.attrs.get("axis", 1)
    if scale.ndim != 1 or not -data.ndim <= axis < data.ndim or scale.size != data.shape[axis]:
        return f"its scales {list(scale.shape)} do not fit axis {axis} of {list(data.shape)}"
    if zero is not None and zero.array().size != scale.size:
        return f"it has {scale.size} scales but {zero.array().size} zero points"
    return None


def _replace(edit: Edit, match: Match) -> None:
    data, scale, zero = match.array("DATA"), match.array("SCALE"), match.get("ZERO")
    zeros = np.zeros(scale.shape, data.dtype) if zero is None else zero.array()
    axis: int | None = None
    if scale.size == 1:
        scale, zeros = scale.reshape(()), zeros.reshape(())
    else:
        axis = match.root.attrs.get("axis", 1) % data.ndim
    edit.make_constant(match.root.output, Quantized(data, scale, zeros, axis))


def _refuse_transpose(edit: Edit, match: Match) -> str | None:
    if not isinstance(match["W"].const, Quantized) or edit.is_output(match.root.output):
        return "what it transposes is not a constant in integers"
    return None


def _replace_transpose(edit: Edit, match: Match) -> None:
    q = match["W"].const
    assert isinstance(q, Quantized)
    perm = match.root.attrs.get("perm") or list(range(q.data.ndim))[::-1]
    axis = None if q.axis is None else list(perm).index(q.axis)
    data = np.ascontiguousarray(q.data.transpose(perm))
    edit.make_constant(match.root.output, Quantized(data, q.scale, q.zero_point, axis))


RULES = (
    Rule(
        "DequantizeLinear of a constant -> constant",
        ("DequantizeLinear", "DATA", "SCALE", "ZERO?"),
        _replace,
        _refuse,
    ),
    Rule(
        "Transpose of an integer constant -> constant",
        ("Transpose", "W"),
        _replace_transpose,
        _refuse_transpose,
    ),
)


def restore(edit: Edit) -> None:
    """Give nodes outside of the preset formats their constants back as DequantizeLinear."""
    nodes = edit.nodes()
    for node in nodes if survey(nodes).integers else ():
        if node.is_preset() and node.op != "activation":
            continue
        integers = [v for v in node.inputs if v is not None and isinstance(v.const, Quantized)]
        for value in dict.fromkeys(integers):
            dequantized = _dequantized(edit, value)
            inputs = [dequantized.output if v is value else v for v in node.inputs]
            edit.set_inputs(node, inputs)


def _dequantized(edit: Edit, value: Value) -> Node:
    q, name = value.const, value.name
    assert isinstance(q, Quantized)
    inputs = [edit.constant(f"{name}_quantized", q.data), edit.constant(f"{name}_scale", q.scale)]
    if np.count_nonzero(q.zero_point):
        inputs.append(edit.constant(f"{name}_zero_point", q.zero_point))
    out = Value(edit.names.fresh(f"{name}_float"), q.scale.dtype, q.shape)
    attrs = {} if q.axis is None else {"axis": q.axis}
    name = edit.names.fresh(f"{name}_dequantize")
    return edit.add(Node("DequantizeLinear", [*inputs], [out], attrs, name=name))
