"""Shapes in terms of the input's dimensions, so that equal shapes are seen to be equal.

ONNX shape inference gives each unknown size a name of its own; here a size keeps the name or the
expression that it comes from. Small integer tensors that hold sizes (Shape and the arithmetic
behind it) are followed in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph import shape_rules, size_rules
from pycompress.graph.ir import Value

if TYPE_CHECKING:
    from pycompress.graph.ir import Dim, Graph, Node, Shape

_LARGEST_CONTENT = 16  # more than any tensor has axes


class Shapes:
    """What is known about shapes, and about the contents of values that hold sizes."""

    def __init__(self) -> None:
        self._shapes: dict[Value, Shape] = {}
        self._contents: dict[Value, tuple[Dim, ...]] = {}

    def shape(self, value: Value | None) -> Shape | None:
        """Return a value's shape; names stand for sizes that are not fixed."""
        if value is None:
            return None
        if value.const is not None:
            return value.const.shape
        return self._shapes.get(value, value.shape)

    def content(self, value: Value | None) -> tuple[Dim, ...] | None:
        """Return what a small integer tensor holds, flattened; None when it is not known."""
        if value is None:
            return None
        if isinstance(value.const, np.ndarray):
            small = value.const.dtype.kind == "i" and value.const.size <= _LARGEST_CONTENT
            return tuple(value.const.ravel().tolist()) if small else None
        return self._contents.get(value)

    def start(self, value: Value) -> None:
        """Give each unknown dimension of a graph input a name of its own."""
        if value.shape is not None:
            names = (f"{value.name}.{i}" if d is None else d for i, d in enumerate(value.shape))
            self._shapes[value] = tuple(names)

    def visit(self, node: Node) -> None:
        """Work out the shapes of a node's outputs, and write them into the values."""
        try:
            found = shape_rules.outputs(self, node)
        except (IndexError, KeyError, TypeError, ValueError):
            return  # attributes that do not fit the inputs: running the node says what is wrong
        for value, shape in zip(node.outputs, found, strict=False):
            if shape is not None:
                self._shapes[value] = value.shape = _merged(shape, value.shape)
        if node.op in size_rules.OPS and not node.domain:
            content = size_rules.content(self, node)
            if content is not None and len(content) <= _LARGEST_CONTENT:
                self._contents[node.output] = content


def _merged(found: Shape, declared: Shape | None) -> Shape:
    """Prefer fixed sizes, then what was worked out here, then what the model says."""
    if declared is None or found == declared or len(declared) != len(found):
        return found
    pairs = zip(found, declared, strict=True)
    return tuple(d if isinstance(d, int) or f is None else f for f, d in pairs)


def infer_shapes(graph: Graph) -> Shapes:
    """Fill in the shapes of a graph's values; outputs keep what they declare."""
    shapes = Shapes()
    declared = {v: v.shape for v in graph.outputs}
    for value in graph.inputs:
        shapes.start(value)
    for node in graph.nodes:
        shapes.visit(node)
    for value, shape in declared.items():
        value.shape = shape if shape is not None else value.shape
    return shapes
