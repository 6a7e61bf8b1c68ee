"""Rows that one layer quantizes for the next, while they are in cache.

linear with an activation -> linear that quantizes by row   =>   the first gives u8, scale, zero
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET, Graph, Node, Quantized, Value
from pycompress.runtime.lower import takes_integers
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CLAMPS = frozenset(("", "relu", "clip"))


def hand_over(graph: Graph) -> Graph:
    """Return `graph`, changed: float32 rows that only the next layer reads, and quantizes, are u8.

    Parameters
    ----------
    graph : Graph
        As it is lowered: the last pass.

    Notes
    -----
    The same numbers: the next layer's own range and rounding of each row, made by the one before.
    """
    readers = graph.consumers()
    outputs = set(graph.outputs)
    for node in graph.nodes:
        if not _finishes(node) or node.output in outputs:
            continue
        behind = _quantizing_reader(node.output, readers)
        if behind is None:
            continue
        y = node.output
        y.dtype = np.dtype(np.uint8)
        scale = Value(f"{y.name}_row_scale", np.dtype(np.float32), (None,))
        zero = Value(f"{y.name}_row_zero", np.dtype(np.int32), (None,))
        for value in (scale, zero):
            value.producer = node
        node.outputs = [y, scale, zero]
        node.attrs["y_by_row"] = True
        behind.inputs = [*behind.inputs, None, None][:4]
        behind.inputs += [scale, zero]
    return graph


def _finishes(node: Node) -> bool:
    """Tell whether a node is a layer of integers whose float32 sums wait for an activation."""
    attrs = node.attrs
    integers = bool(attrs.get("dynamic")) or "x_scale" in attrs
    late = attrs.get("activation", "") not in _CLAMPS or "gain" in attrs or "shift" in attrs
    return integers and late and "y_scale" not in attrs and _is_layer(node)


def _is_layer(node: Node) -> bool:
    w = node.inputs[1] if len(node.inputs) > 1 else None
    return (
        node.op == "linear"
        and node.domain in {PRESET, NATIVE}
        and w is not None
        and isinstance(w.const, Quantized)
        and takes_integers(node, 1, w.const)
    )


def _quantizing_reader(value: Value, readers: Mapping[Value, Sequence[Node]]) -> Node | None:
    found = readers.get(value, ())
    if len(found) != 1:
        return None
    (node,) = found
    by_row = bool(node.attrs.get("dynamic")) and bool(node.attrs.get("by_row"))
    alone = sum(v is value for v in node.inputs) == 1 and node.inputs[0] is value
    return node if by_row and alone and _is_layer(node) else None
