"""QuantizeLinear moves in front of what only moves values about, where fewer or smaller ones pass.

x -> Resize (nearest) -> Q   =>   x -> Q -> Resize
x, y -> Concat -> Q          =>   x -> Q, y -> Q -> Concat
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.moves import is_nearest
from pycompress.runtime.params import node_params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def sink(graph: Graph) -> Graph:
    """Return `graph`, changed: integers are joined and resized, not the floats they are made of.

    Parameters
    ----------
    graph : Graph
        Before absorption, which lets what stands in front write integers.

    Notes
    -----
    The same numbers: one scale and zero point for all elements, and none of them is changed.
    """
    if not any(map(_may_sink, graph.nodes)):
        return graph
    readers, outputs = graph.consumers(), set(graph.outputs)
    names = {value.name for value in graph.values()}
    gone: set[Node] = set()
    instead: dict[Node, list[Node]] = {}
    for node in reversed(graph.nodes):
        mover = _mover(node, readers, outputs)
        if mover is not None:
            instead[mover] = _swapped(node, mover, names)
            gone.add(node)
    if gone:
        nodes = []
        for node in graph.nodes:
            nodes += [] if node in gone else instead.get(node, [node])
        graph.nodes = nodes
        return sink(graph)  # what came in front may move on
    return graph


def _may_sink(node: Node) -> bool:
    x = node.inputs[0] if node.op == "QuantizeLinear" else None
    return x is not None and x.producer is not None and x.producer.is_op("Concat", "Resize")


def _mover(node: Node, readers: Mapping[Value, Sequence[Node]], outputs: set[Value]) -> Node | None:
    """Return the Concat or Resize whose result only this QuantizeLinear reads."""
    x = node.inputs[0] if node.is_op("QuantizeLinear") and node_params(node) is not None else None
    if x is None or x in outputs or len(readers[x]) != 1 or x.producer is None:
        return None
    mover = x.producer
    moved = mover.inputs if mover.is_op("Concat") else mover.inputs[:1]
    fits = mover.is_op("Concat") or (mover.is_op("Resize") and is_nearest(mover))
    return mover if fits and all(v is not None and v.const is None for v in moved) else None


def _swapped(node: Node, mover: Node, names: set[str]) -> list[Node]:
    """Return a QuantizeLinear for each moved input, and the mover of what they give."""
    count = len(mover.inputs) if mover.is_op("Concat") else 1
    made: dict[Value, Node] = {}
    inputs = list(mover.inputs)
    for i, value in enumerate(inputs[:count]):
        if value is not None:
            if value not in made:
                out = Value(_fresh(f"{value.name}_q", names), node.output.dtype, value.shape)
                given = [value, *node.inputs[1:]]
                made[value] = Node("QuantizeLinear", given, [out], dict(node.attrs), name=out.name)
            inputs[i] = made[value].output
    moved = Node(mover.op, inputs, node.outputs, dict(mover.attrs), mover.domain, mover.name)
    return [*made.values(), moved]


def _fresh(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    names.add(name)
    return name
