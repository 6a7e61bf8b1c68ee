"""What one layer quantizes for the next, while it is in cache.

linear with an activation -> linear that quantizes by row   =>   the first gives u8, scale, zero
conv -> conv that quantizes at run time                     =>   likewise, one scale for all
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET, Graph, Node, Quantized, Value
from pycompress.runtime.lower import rounds_float, takes_integers
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLAMPS = frozenset(("", "relu", "clip"))


def hand_over(graph: Graph, *, float_format: str = "float32") -> Graph:
    """Return `graph`, changed: what a layer alone would quantize at run time comes to it in u8.

    Parameters
    ----------
    graph : Graph
        As it is lowered: the last pass.
    float_format : str
        What layers that are not of integers compute in; those of bfloat16 hand nothing over.

    Notes
    -----
    Ranges are the next layer's own, and so is the rounding, but for a convolution whose activation
    clamps at both ends: it may round its sums once. Where others read what a convolution gives as
    well, they have it in float32.
    """
    if not any("dynamic" in node.attrs for node in graph.nodes):
        return graph
    readers = graph.consumers()
    outputs = set(graph.outputs)
    for node in graph.nodes:
        if node.op == "conv":
            if rounds_float(node, float_format) and not _of_integers(node):
                continue
            _hand_over_image(node, readers.get(node.output, ()), outputs)
        elif node.op == "linear" and node.output not in outputs:
            _hand_over_rows(node, readers.get(node.output, ()))
    return graph


def _hand_over_rows(node: Node, readers: Sequence[Node]) -> None:
    takes = len(readers) == 1 and _quantizes(readers[0], node.output) and _by_row(readers[0])
    if not takes or not _finishes(node):
        return
    node.attrs["y_by_row"] = True
    node.output.dtype = np.dtype(np.uint8)
    node.outputs = [node.output, *_scales(node, f"{node.output.name}_row", (None,))]
    _take(readers[0], node.outputs)


def _hand_over_image(node: Node, readers: Sequence[Node], outputs: set[Value]) -> None:
    y = node.output
    takers = [r for r in readers if r.op == "conv" and _quantizes(r, y)]
    if not takers or "y_scale" in node.attrs or node.domain not in {PRESET, NATIVE}:
        return
    node.attrs["y_dynamic"] = True
    scales = _scales(node, y.name, ())
    if len(takers) == len(readers) and y not in outputs:
        y.dtype = np.dtype(np.uint8)
        node.outputs = handed = [y, *scales]
    else:
        q = Value(f"{y.name}_u8", np.dtype(np.uint8), y.shape)
        q.producer = node
        node.outputs = [y, *scales, q]
        handed = [q, *scales]
    for taker in takers:
        _take(taker, handed)


def _scales(node: Node, stem: str, shape: tuple[None, ...]) -> tuple[Value, Value]:
    scale = Value(f"{stem}_scale", np.dtype(np.float32), shape)
    zero = Value(f"{stem}_zero", np.dtype(np.int32), shape)
    scale.producer = zero.producer = node
    return scale, zero


def _take(node: Node, handed: Sequence[Value]) -> None:
    """Give a layer its input quantized, with scale and zero point."""
    first, *scales = handed
    node.inputs = [first, *[*node.inputs[1:], None, None][:3], *scales]


def _finishes(node: Node) -> bool:
    """Tell whether a node is a layer of integers whose float32 sums wait for an activation."""
    attrs = node.attrs
    late = attrs.get("activation", "") not in _CLAMPS or "gain" in attrs or "shift" in attrs
    return late and "y_scale" not in attrs and _of_integers(node)


def _of_integers(node: Node) -> bool:
    """Tell whether a node is a layer that multiplies integers."""
    w = node.inputs[1] if len(node.inputs) > 1 else None
    return (
        (bool(node.attrs.get("dynamic")) or "x_scale" in node.attrs)
        and node.domain in {PRESET, NATIVE}
        and w is not None
        and isinstance(w.const, Quantized)
        and takes_integers(node, 1, w.const)
    )


def _quantizes(node: Node, value: Value) -> bool:
    """Tell whether a layer quantizes `value` at run time, and reads it nowhere else."""
    alone = sum(v is value for v in node.inputs) == 1 and node.inputs[0] is value
    return bool(node.attrs.get("dynamic")) and alone and _of_integers(node)


def _by_row(node: Node) -> bool:
    return node.op == "linear" and bool(node.attrs.get("by_row"))
