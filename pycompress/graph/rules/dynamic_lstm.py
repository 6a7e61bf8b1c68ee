"""DynamicQuantizeLSTM of ONNX Runtime -> LSTM with integer weights, one for each direction.

``quantize_dynamic`` of onnxruntime writes it: weights of int8 or uint8, turned (inputs before
gates), with scales for each direction or each gate of each direction, and an input that is
quantized at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.expand import DYNAMIC
from pycompress.graph.ir import Node, Quantized, Value
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.writer import Writer

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_PER_DIRECTION = ("activations", "activation_alpha", "activation_beta")


def _refuse(edit: Edit, match: Match) -> str | None:
    if match.get("p") is not None:
        return "it has peepholes"
    bias = match.get("b")
    if bias is not None and bias.const is None:
        return f"its bias '{bias.name}' is computed at run time"
    for name in ("W", "R"):
        w, sizes = match.array(name), {match.array(f"{name}_{p}").size for p in ("SCALE", "ZERO")}
        if w.ndim != 3 or w.dtype not in (np.int8, np.uint8):
            return f"its weight '{match[name].name}' is {w.dtype} with {w.ndim} axes"
        if sizes - {w.shape[0], w.shape[0] * w.shape[2]}:
            return f"the scales of its weight '{match[name].name}' are not those of its gates"
    return None


def _weight(edit: Edit, match: Match, name: str, direction: int) -> Value:
    """Return one direction of a weight, [1, gates, inputs], with a scale for each row of a gate."""
    w = match.array(name)
    gates = w.shape[2]
    scale, zero = (
        np.broadcast_to(match.array(f"{name}_{p}").reshape(w.shape[0], -1)[direction], gates)
        for p in ("SCALE", "ZERO")
    )
    data = np.ascontiguousarray(w[direction : direction + 1].transpose(0, 2, 1))
    return edit.constant(match[name].name, Quantized(data, scale.copy(), zero.copy(), 1))


def _state(edit: Edit, match: Match, name: str, direction: int, directions: int) -> Value | None:
    """Return one direction of an initial state, [1, batch, hidden]."""
    state = match.get(name)
    if state is None or directions == 1:
        return state
    write = Writer(edit, match.root)
    bounds = (write.ints(direction), write.ints(direction + 1), write.ints(0))
    return write("Slice", state, *bounds, dtype=state.dtype)


def _lstm(edit: Edit, match: Match, direction: int, outputs: list[Value]) -> Node:
    root, directions = match.root, match.array("W").shape[0]
    bias = match.get("b")
    b = (
        None
        if bias is None
        else edit.constant(bias.name, match.array("b")[direction : direction + 1])
    )
    inputs = [
        match["x"],
        *(_weight(edit, match, name, direction) for name in ("W", "R")),
        b,
        match.get("lengths"),
        *(_state(edit, match, name, direction, directions) for name in ("h", "c")),
    ]
    attrs = dict(root.attrs)
    for name in _PER_DIRECTION:
        values = attrs.get(name)
        if values and directions > 1:
            each = len(values) // directions
            attrs[name] = values[direction * each : (direction + 1) * each]
    if directions > 1:
        attrs["direction"] = ("forward", "reverse")[direction]
    return Node("LSTM", inputs, outputs, attrs, "", root.name, {**root.metadata, DYNAMIC: "1"})


def _replace(edit: Edit, match: Match) -> None:
    root, directions = match.root, match.array("W").shape[0]
    if directions == 1:
        edit.add(_lstm(edit, match, 0, root.outputs))
        edit.remove(root)
        return
    parts: list[list[Value]] = []
    for direction in range(directions):
        names = [edit.names.fresh(f"{v.name}_{direction}") for v in root.outputs]
        made = [Value(name, v.dtype) for name, v in zip(names, root.outputs, strict=True)]
        node = _lstm(edit, match, direction, made)
        node.name = edit.names.fresh(root.name)
        parts.append(edit.add(node).outputs)
    for i, whole in enumerate(root.outputs):
        pieces: list[Value | None] = [part[i] for part in parts]
        if not edit.readers(whole) and not edit.is_output(whole):
            continue
        name = edit.names.fresh(f"{whole.name}_directions")
        edit.add(Node("Concat", pieces, [whole], {"axis": 1 if i == 0 else 0}, name=name))
    edit.remove(root)


RULES = (
    Rule(
        "DynamicQuantizeLSTM -> LSTM with integer weights",
        (
            "com.microsoft.DynamicQuantizeLSTM",
            *("x", "W", "R", "b?", "lengths?", "h?", "c?", "p?"),
            *("W_SCALE", "W_ZERO", "R_SCALE", "R_ZERO"),
        ),
        _replace,
        _refuse,
    ),
)
