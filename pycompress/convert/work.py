"""How much work a node is in each precision, by its size alone.

Which precision a node takes must not depend on what else the machine did while it was timed: the
same model and data give the same file. So prices are reckoned, not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from pycompress.convert.halves import multiplies_halves
from pycompress.convert.plan import Precision, weights_of

if TYPE_CHECKING:
    from pycompress.convert.plan import Plan
    from pycompress.graph.ir import Graph, Node, Value

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Work: TypeAlias = Mapping[tuple[str, Precision], float]

PRODUCTS: dict[Precision, float] = {
    "float": 50.0,
    "weights": 50.0,
    "bf16": 100.0,
    "int4": 100.0,
    "dynamic": 200.0,
    "rows": 200.0,
    "static": 200.0,
}
"""Products per ns on one core with 512-bit vectors; their proportions hold for others."""

MOVED: dict[Precision, tuple[int, int, int]] = {
    "float": (4, 4, 4),
    "weights": (4, 4, 4),
    "bf16": (4, 2, 4),
    "int4": (4, 1, 4),
    "dynamic": (9, 1, 4),
    "rows": (9, 1, 4),
    "static": (1, 1, 1),
}
"""Bytes per element of input, weights and output; ranges at run time take a look at the input, and
write it again in integers."""

BANDWIDTH = 100.0
"""Bytes per ns, from the cache that the tensors of a layer fit into."""


def work_of(graph: Graph, plan: Plan, shapes: Shapes) -> Work:
    """Return the nominal ns of each planned node in each precision.

    Parameters
    ----------
    graph : Graph
    plan : Plan
    shapes : dict of tuple of int by name of value
        What the values had in one run. A node whose input or output is not among them did not run
        and is no work.
    """
    found: dict[tuple[str, Precision], float] = {}
    for node in graph.everywhere():
        if plan.precision(node) is None:
            continue
        products, elements = _products(node, shapes), _elements(node, shapes)
        for precision in get_args(Precision):
            taken: Precision = (
                "float" if precision == "bf16" and not multiplies_halves(node) else precision
            )
            moved = float(np.dot(elements, MOVED[taken]))
            found[node.output.name, precision] = products / PRODUCTS[taken] + moved / BANDWIDTH
    return found


def watched_sizes(graph: Graph, plan: Plan) -> list[str]:
    """Return the names of the values whose shapes `work_of` asks for."""
    names: list[str] = []
    for node in graph.nodes:
        if plan.precision(node) is not None:
            values = [_input(node), *node.outputs]
            names += [v.name for v in values if v is not None and v.name and v.const is None]
    return list(dict.fromkeys(names))


def _input(node: Node) -> Value | None:
    return node.input(1 if node.op == "embedding" else 0)


def _products(node: Node, shapes: Shapes) -> float:
    """Return how many products a node computes: each weight meets each place."""
    weights = weights_of(node)
    if node.op == "embedding":
        return 0.0
    seen = node.output if node.op == "conv" else _input(node)
    size = 0 if seen is None else _size(shapes.get(seen.name))
    channels = weights[0].shape[2 if node.op == "recurrent" else 0]
    return size / channels * float(sum(np.prod(weight.shape) for weight in weights))


def _elements(node: Node, shapes: Shapes) -> tuple[int, int, int]:
    x = _input(node)
    before = 0 if x is None else _size(shapes.get(x.name))
    after = sum(_size(shapes.get(v.name)) for v in node.outputs)
    ran = bool(before and after)
    weights = sum(int(np.prod(weight.shape)) for weight in weights_of(node))
    # an embedding reads the rows that it is asked for
    read = after if node.op == "embedding" else weights
    return before, read if ran else 0, after


def _size(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else int(np.prod(shape))
