"""What each operator does to the contents of small integer tensors that hold sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pycompress.graph.dims import floor_divided, plus, times

if TYPE_CHECKING:
    from pycompress.graph.ir import Dim, Node
    from pycompress.graph.shapes import Shapes

Rule: TypeAlias = Callable[["Shapes", "Node"], "tuple[Dim, ...] | None"]


def content(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    """Return what the output of a node with one of `OPS` holds, when that is a few sizes."""
    return _CONTENTS[node.op](shapes, node)


def _shape_content(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    x = shapes.shape(node.input(0))
    return None if x is None else x[node.attrs.get("start", 0) : node.attrs.get("end")]


def _kept(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    whole = node.output.dtype is not None and node.output.dtype.kind == "i"
    return shapes.content(node.input(0)) if whole else None


def _gathered(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    sizes, at = shapes.content(node.input(0)), shapes.content(node.input(1))
    rank = shapes.shape(node.input(0))
    if sizes is None or at is None or rank is None or len(rank) != 1:
        return None
    picks = [sizes[i] for i in at if isinstance(i, int) and -len(sizes) <= i < len(sizes)]
    return tuple(picks) if len(picks) == len(at) else None


def _joined(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    parts = [shapes.content(v) for v in node.inputs]
    known = [p for p in parts if p is not None]
    return tuple(d for p in known for d in p) if len(known) == len(parts) else None


def _sliced(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    sizes = shapes.content(node.input(0))
    bounds = [shapes.content(node.input(i)) for i in (1, 2)]
    step = (1,) if node.input(4) is None else shapes.content(node.input(4))
    if sizes is None or step is None or any(b is None or len(b) != 1 for b in bounds):
        return None
    start, end = (b[0] for b in bounds if b is not None)
    stride = step[0]
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(stride, int)):
        return None
    return sizes[start:end:stride]


def _combined(shapes: Shapes, node: Node) -> tuple[Dim, ...] | None:
    a, b = shapes.content(node.input(0)), shapes.content(node.input(1))
    if a is None or b is None or len(a) != 1 or len(b) != 1 or node.output.dtype is None:
        return None
    if node.output.dtype.kind != "i":
        return None
    left, right = a[0], b[0]
    if node.op in {"Add", "Mul"} and isinstance(left, int):
        left, right = right, left
    if not isinstance(right, int):
        return None
    match node.op:
        case "Add":
            return (plus(left, right),)
        case "Sub":
            return (plus(left, -right),)
        case "Mul":
            return (times(left, right),)
    return (floor_divided(left, right),) if right > 0 else None


_CONTENTS: dict[str, Rule] = {
    "Shape": _shape_content,
    **dict.fromkeys(("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"), _kept),
    "Gather": _gathered,
    "Concat": _joined,
    "Slice": _sliced,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _combined),
}

OPS = frozenset(_CONTENTS)
"""Standard operators that may compute sizes."""
