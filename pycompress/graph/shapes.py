"""Shapes in terms of the input's dimensions, so that equal shapes are seen to be equal.

ONNX shape inference gives each unknown size a name of its own; here a size keeps the name or the
expression that it comes from. Small integer tensors that hold sizes (Shape and the arithmetic
behind it) are followed in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph import shape_rules, size_rules, types
from pycompress.graph.ir import WALKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompress.graph.ir import Dim, Graph, Node, Shape, Value

_LARGEST_CONTENT = 16  # more than any tensor has axes
MADE_UP = "unk__"  # how names begin that ONNX shape inference gives to sizes it knows nothing of


class Shapes:
    """What is known about shapes, and about the contents of values that hold sizes.

    Parameters
    ----------
    again : bool
        The values have what an earlier pass found: what is settled is taken from them.
    """

    def __init__(self, *, again: bool = False) -> None:
        self._again = again
        self._shapes: dict[Value, Shape] = {}
        self._contents: dict[Value, tuple[Dim, ...]] = {}
        self._declared: dict[Value, Shape | None] = {}
        self._given: set[Dim] = set()  # sizes of the inputs, whatever they are called
        self._settled: dict[Shape, bool] = {}  # models repeat their shapes
        self._made_up = 0
        self._nodes: list[Node] = []

    def shape(self, value: Value | None) -> Shape | None:
        """Return a value's shape; names stand for sizes that are not fixed."""
        if value is None:
            return None
        const = value.const
        return self._shapes.get(value, value.shape) if const is None else const.shape

    def content(self, value: Value | None) -> tuple[Dim, ...] | None:
        """Return what a small integer tensor holds, flattened; None when it is not known."""
        if value is None:
            return None
        const = value.const
        if isinstance(const, np.ndarray):
            small = const.size <= _LARGEST_CONTENT and const.dtype.kind == "i"
            return tuple(const.ravel().tolist()) if small else None
        return self._contents.get(value)

    def begin(self, graph: Graph) -> None:
        """Give unknown dimensions of the inputs names of their own; note what outputs declare."""
        for value in graph.inputs:
            if value.shape is not None:
                names = (f"{value.name}.{i}" if d is None else d for i, d in enumerate(value.shape))
                self._shapes[value] = shape = tuple(names)
                self._given.update(shape)
        self._declared.update((v, v.shape) for v in graph.outputs)

    def end(self, graph: Graph) -> None:
        """Let outputs keep what they declare, with the numbers that were found where they don't."""
        self._nodes = graph.nodes
        for value in graph.outputs:
            declared = self._declared[value]
            if declared is not None:
                found = self._shapes.get(value, declared)
                value.shape = _filled(declared, found)

    def are_of(self, graph: Graph) -> bool:
        """Tell whether the graph's list of nodes is still the one that was gone through."""
        return self._nodes is graph.nodes

    def keep_up(
        self, graph: Graph, changed: set[Node], readers: Callable[[Value], Iterable[Node]]
    ) -> None:
        """Visit nodes again that read something else by now, or more of which is known.

        Parameters
        ----------
        graph : Graph
            The one whose shapes these are, its nodes in an order in which they can run.
        changed : set of Node
            Those; what reads a result of which more is known now, too, comes to them.
        readers : callable
            Returns the readers of a value.
        """
        self._again = True
        self._declared = {v: v.shape for v in graph.outputs}
        for node in graph.nodes if changed else ():
            if node not in changed:
                continue
            before = [(self.shape(v), self.content(v)) for v in node.outputs]
            self.visit(node)
            for value, known in zip(node.outputs, before, strict=True):
                if (self.shape(value), self.content(value)) != known:
                    changed.update(readers(value))
        self.end(graph)

    def visit(self, node: Node) -> None:
        """Work out the shapes of a node's outputs, and write them into the values."""
        if self._again:
            for value in node.outputs:
                if not self._is_settled(value):
                    self._infer(node)
                    break
        else:
            self._infer(node)
        if node.op in size_rules.OPS and not node.domain:
            dtype = node.output.dtype
            content = (
                None if dtype is not None and dtype.kind == "f" else size_rules.content(self, node)
            )
            if content is not None and len(content) <= _LARGEST_CONTENT:
                self._contents[node.output] = content

    def settle(self, node: Node) -> bool:
        """Do as `visit`, element types included, for nodes whose shapes follow at a glance.

        Returns
        -------
        bool
            Whether it was such a node: nothing is left to find out about its result.
        """
        return WALKS.settle(node, self._shapes, _AT_A_GLANCE, with_types=True)

    def is_explained(self, node: Node) -> bool:
        """Tell whether what is not known of a node's results follows from what it reads.

        Sizes that are not known get names of their own.
        """
        whole = True
        for value in node.outputs:
            shape = self.shape(value)
            if shape is None:
                whole = False
            elif None in shape:
                whole = False
                self._shapes[value] = value.shape = tuple(map(self._named, shape))
        return (
            whole or node.op in shape_rules.MAY_DIFFER or not all(map(self._is_plain, node.inputs))
        )

    def _named(self, dim: Dim) -> Dim:
        self._made_up += dim is None
        return f"{MADE_UP}?{self._made_up}" if dim is None else dim

    def _is_plain(self, value: Value | None) -> bool:
        """Tell whether shape and, of integers, content is known."""
        shape = self.shape(value)
        if value is None or value.const is not None:
            return True
        if value.dtype is not None and value.dtype.kind in "iu" and self.content(value) is None:
            return False
        return shape is not None and all(map(self._is_given, shape))

    def _is_given(self, dim: Dim) -> bool:
        """Tell whether a size is a number, or follows from the inputs'."""
        return (
            isinstance(dim, int) or dim in self._given or (dim is not None and MADE_UP not in dim)
        )

    def _infer(self, node: Node) -> None:
        try:
            found = shape_rules.outputs(self, node)
        except (IndexError, KeyError, TypeError, ValueError):
            return  # attributes that do not fit the inputs: running the node says what is wrong
        for value, shape in zip(node.outputs, found, strict=False):
            if shape is not None:
                self._shapes[value] = value.shape = _merged(shape, value.shape)

    def _is_settled(self, value: Value) -> bool:
        """Tell whether there is nothing more to find out."""
        shape = value.shape
        if shape is None or value in self._declared:
            return False
        known = self._settled.get(shape)
        if known is None:
            known = self._settled[shape] = all(map(self._is_given, shape))
        return known


_AT_A_GLANCE = {
    op: (op in shape_rules.BROADCAST, types.FOLLOWS[op], op in size_rules.OPS)
    for op in (*shape_rules.SAME, *shape_rules.BROADCAST)
    if op in types.FOLLOWS
}
"""Operators of one result, as `WALKS.settle` knows them."""


def _merged(found: Shape, declared: Shape | None) -> Shape:
    """Prefer fixed sizes, then what was worked out here, then what the model says."""
    if declared is None or found == declared or len(declared) != len(found):
        return found
    pairs = zip(found, declared, strict=True)
    return tuple(d if isinstance(d, int) or f is None else f for f, d in pairs)


def _filled(declared: Shape, found: Shape) -> Shape:
    if len(declared) != len(found):
        return declared
    pairs = zip(declared, found, strict=True)
    return tuple(f if isinstance(f, int) and not isinstance(d, int) else d for d, f in pairs)


def infer_shapes(graph: Graph, *, again: bool = False) -> Shapes:
    """Fill in the shapes of a graph's values; outputs keep what they declare.

    Parameters
    ----------
    graph : Graph
    again : bool
        It was done before, when less was constant.
    """
    shapes = Shapes(again=again)
    shapes.begin(graph)
    for node in graph.nodes:
        shapes.visit(node)
    shapes.end(graph)
    return shapes
