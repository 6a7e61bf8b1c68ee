"""A factor and a summand behind an activation become part of the layer.

act(x . w + b) -> Mul by a number -> Add of a number   =>   the layer, with `gain` and `shift`

Networks with learnable affine blocks (PP-OCR, PP-LCNet) have one behind each convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Graph, Node, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STEPS = (("Mul", "gain"), ("Add", "shift"))


def fold_gains(graph: Graph) -> Graph:
    """Return `graph`, changed: scalars behind the activation of a layer are its own.

    Parameters
    ----------
    graph : Graph
        In preset formats, before absorption: what quantizes the sum then quantizes in the layer.

    Notes
    -----
    The same numbers: product and sum are rounded each on its own, as the operators do.
    """
    readers = graph.consumers()
    outputs = set(graph.outputs)
    gone: set[Node] = set()
    for node in graph.nodes:
        if not node.is_preset("conv", "linear") or not node.attrs.get("activation"):
            continue
        for op, attribute in _STEPS:
            behind = only_reader(node.output, readers, outputs)
            number = (
                None if behind is None or not behind.is_op(op) else _number(node.output, behind)
            )
            if behind is None or number is None:
                continue
            node.attrs[attribute] = number
            node.outputs = behind.outputs
            node.output.producer = node
            gone.add(behind)
    graph.nodes = [node for node in graph.nodes if node not in gone]
    return graph


def only_reader(
    value: Value, readers: Mapping[Value, Sequence[Node]], outputs: set[Value]
) -> Node | None:
    """Return the node that alone reads a value, which is no output of the graph."""
    found = readers.get(value, ())
    return found[0] if len(found) == 1 and value not in outputs else None


def _number(value: Value, node: Node) -> float | None:
    """Return the one float32 number that `node` combines `value` with."""
    for other in node.inputs:
        if other is value or other is None or not isinstance(other.const, np.ndarray):
            continue
        rank = None if value.shape is None else len(value.shape)
        wide = other.const.ndim > 0 and (rank is None or other.const.ndim > rank)
        number = float(other.const.item()) if other.const.size == 1 else np.inf
        if other.dtype == np.float32 and not wide and np.isfinite(number):
            return number
    return None
