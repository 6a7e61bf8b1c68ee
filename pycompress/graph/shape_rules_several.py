"""What operators of several outputs do to shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompress.graph.ir import Node, Shape
    from pycompress.graph.shapes import Shapes


def _split(shapes: Shapes, node: Node) -> list[Shape | None]:
    x, sizes = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if x is None:
        return []
    axis = node.attrs.get("axis", 0) % len(x)
    count = len(node.outputs)
    if node.input(1) is None:
        whole = x[axis]
        even = isinstance(whole, int) and whole % count == 0
        sizes = (whole // count if isinstance(whole, int) and even else None,) * count
    return [(*x[:axis], size, *x[axis + 1 :]) for size in sizes or [None] * count]


def _dynamic_quantize(shapes: Shapes, node: Node) -> list[Shape | None]:
    return [shapes.shape(node.input(0)), (), ()]


def _recurrent(shapes: Shapes, node: Node) -> list[Shape | None]:
    x, r = shapes.shape(node.input(0)), shapes.shape(node.input(2))
    if r is None:
        return []
    x = (None, None, None) if x is None else x
    directions, hidden = r[0], r[2]
    if node.attrs.get("layout", 0):
        state: Shape = (x[0], directions, hidden)
        return [(*x[:2], directions, hidden), state, state]
    state = (directions, x[1], hidden)
    return [(x[0], *state), state, state]


def _if(shapes: Shapes, node: Node) -> list[Shape | None]:
    """Return what both branches agree on."""
    branches = [[shapes.shape(v) for v in graph.outputs] for graph in node.subgraphs()]
    return [_agreed(*pair) for pair in zip(*branches, strict=True)]


def _agreed(a: Shape | None, b: Shape | None) -> Shape | None:
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(d if d == e else None for d, e in zip(a, b, strict=True))


SEVERAL: dict[str, Callable[[Shapes, Node], list[Shape | None]]] = {
    "Split": _split,
    "DynamicQuantizeLinear": _dynamic_quantize,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "If": _if,
}
"""What operators of several outputs do."""
