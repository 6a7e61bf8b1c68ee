"""Operators that only move values about, so that they take quantized tensors as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Node, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.runtime.params import Params

NATIVE = "native"
"""Domain of nodes with the engine's own semantics (channels last, integer operands)."""

MOVES = frozenset(
    (
        "Identity",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "Expand",
        "Tile",
        "Gather",
        "MaxPool",
    )
)
"""Operators whose first input may be integers and whose other inputs only say where values go."""


def movement(
    node: Node, forms: Sequence[tuple[Value, Params] | None]
) -> tuple[list[Value | None], Params] | None:
    """Return the inputs with which `node` moves integers in place of what they stand for.

    Parameters
    ----------
    node : Node
    forms : for each input, the integer tensor behind it and its parameters, where there is one

    Returns
    -------
    inputs and the parameters of the outputs, or None when the node is not a movement, or not one of
    these integers.
    """
    if node.domain != "" or not forms or forms[0] is None:
        return None
    first, params = forms[0]
    if node.op in MOVES:
        return (
            ([first, *node.inputs[1:]], params)
            if node.op != "MaxPool" or len(node.outputs) == 1
            else None
        )
    if node.op == "Resize":
        return ([first, *node.inputs[1:]], params) if is_nearest(node) else None
    if node.op == "Pad":
        return _pad(node, first, params)
    if node.op == "Concat" and all(f is not None and f[1] == params for f in forms):
        return [f[0] for f in forms if f is not None], params
    return None


def is_nearest(resize: Node) -> bool:
    """Tell whether a Resize takes every value from its input."""
    crop = resize.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return bool(resize.attrs.get("mode", "nearest") == "nearest") and not crop


def _pad(node: Node, first: Value, params: Params) -> tuple[list[Value | None], Params] | None:
    """Pad with the integer that stands for the pad value, if there is one."""
    if node.attrs.get("mode", "constant") != "constant":
        return [first, *node.inputs[1:]], params
    fill = node.input(2)
    if fill is not None and fill.const is None:
        return None
    number = np.float32(0.0 if fill is None else fill.array().item())
    matches = np.flatnonzero(params.dequantize() == number)
    if matches.size == 0:
        return None
    integer = np.array(matches[0], np.uint8).view(params.dtype)
    value = Value(f"{node.name or node.output.name}_pad_{integer}", params.dtype, (), integer)
    return [first, node.inputs[1], value, *node.inputs[3:]], params
