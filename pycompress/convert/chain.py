"""Which values are in integers: inputs of static nodes, and what lies cheaply between them.

A convolution hands its integers to the next one. Pointwise nodes on the way (an addition, a
pooling, a reshape) stay in integers too when all that they read comes from integers and somebody
reads their result in integers; otherwise they stay in float, and their result is quantized where a
static node reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.calibration import METHODS
from pycompress.convert.activations import Affine, affine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompress.calibration import Histogram, Range, RangeMethod
    from pycompress.graph.ir import Graph, Node, Value

MOVES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "MaxPool")
"""Operators that move or select their first input's elements: same scale before and after."""

JOINS = ("Concat",)
"""Operators that move the elements of all their inputs: one scale for all of them."""

COMPUTES = (
    *("Add", "Mul", "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
    "GlobalAveragePool",
)
"""Operators with an integer form of their own: each side has its own scale."""


@dataclass(frozen=True)
class Chain:
    """What is in integers.

    Attributes
    ----------
    values : list of Value
        Values that get QuantizeLinear and DequantizeLinear, in the order of the graph.
    nodes : set of Node
        Nodes that compute on integers: static layers and the pointwise nodes between them.
    tied : dict
        Value -> the value whose scale it shares (itself, when it is the first of its group).
    """

    values: list[Value]
    nodes: set[Node]
    tied: dict[Value, Value]


def find_chain(graph: Graph, static: set[Node]) -> Chain:
    """Return what is in integers when the nodes `static` are."""
    finder = _Finder(static)
    for node in graph.nodes:
        if node in static:
            finder.admit(_input(node))
    members = finder.members
    nodes = static | {
        node
        for node in graph.nodes
        if _is_pointwise(node)
        and node.output in members
        and all(v in members for v in _operands(node))
    }
    tied = _tie(graph, nodes, members)
    return Chain([v for v in graph.values() if v in members], nodes, tied)


def observed(graph: Graph, static: set[Node]) -> list[str]:
    """Return the names of the values whose ranges these static nodes need."""
    return [value.name for value in find_chain(graph, static).values]


def parameters(chain: Chain, ranges: Mapping[str, Range]) -> dict[Value, Affine]:
    """Return the u8 parameters of each value; tied values share the union of their ranges.

    Raises
    ------
    ValueError
        A range has no 8-bit scale.
    KeyError
        A value's range was not observed.
    """
    unions: dict[Value, Range] = {}
    for value in chain.values:
        root, (low, high) = chain.tied[value], ranges[value.name]
        so_far = unions.get(root, (low, high))
        unions[root] = (min(so_far[0], low), max(so_far[1], high))
    shared = {root: affine(bounds) for root, bounds in unions.items()}
    return {value: shared[chain.tied[value]] for value in chain.values}


def choose_ranges(histograms: Mapping[str, Histogram], method: RangeMethod) -> dict[str, Range]:
    """Return the range of each value that has one: not if it was never seen or not finite."""
    return {
        name: METHODS[method](h) for name, h in histograms.items() if h.total and not h.non_finite
    }


class _Finder:
    """Walks back from what static nodes read."""

    def __init__(self, static: set[Node]) -> None:
        self.static = static
        self.members: set[Value] = set()
        self._cheap: dict[Value, bool] = {}

    def admit(self, value: Value) -> None:
        """Put a value into integers, and what it is computed from while that is cheap."""
        stack = [value]
        while stack:
            current = stack.pop()
            if current in self.members:
                continue
            self.members.add(current)
            node = current.producer
            if (
                node is not None
                and _is_pointwise(node)
                and all(self.cheap(v) for v in _operands(node))
            ):
                stack.extend(_operands(node))

    def cheap(self, value: Value) -> bool:
        """Tell whether a value comes out of static nodes, directly or by pointwise nodes."""
        if value not in self._cheap:
            node = value.producer
            self._cheap[value] = node is not None and (
                node in self.static
                or (_is_pointwise(node) and all(self.cheap(v) for v in _operands(node)))
            )
        return self._cheap[value]


def _input(node: Node) -> Value:
    value = node.input(0)
    if value is None:
        msg = f"node '{node.name or node.output.name}' has no input"
        raise ValueError(msg)
    return value


def _operands(node: Node) -> list[Value]:
    """Values whose elements a pointwise node works on: not shapes, axes or bounds."""
    inputs = node.inputs if node.is_op("Add", "Mul", *JOINS) else node.inputs[:1]
    return [v for v in inputs if v is not None]


def _is_pointwise(node: Node) -> bool:
    if (
        not (node.is_op(*MOVES, *JOINS, *COMPUTES) or node.is_preset("activation"))
        or len(node.outputs) != 1
    ):
        return False
    operands = _operands(node)
    parameters = [v for v in node.inputs if v is not None and v not in operands]
    return (
        bool(operands)
        and all(v.const is None and v.dtype == np.float32 for v in operands)
        and all(v.const is not None for v in parameters if node.is_op("Clip"))
    )


def _tie(graph: Graph, nodes: set[Node], members: set[Value]) -> dict[Value, Value]:
    """Let values that one node only moves share a scale."""
    parent: dict[Value, Value] = {v: v for v in members}

    def root(value: Value) -> Value:
        while parent[value] is not value:
            value = parent[value]
        return value

    for node in graph.nodes:
        if node in nodes and node.is_op(*MOVES, *JOINS):
            for operand in _operands(node):
                parent[root(node.output)] = root(operand)
    return {value: root(value) for value in members}
