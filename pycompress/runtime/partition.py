"""Cutting a graph into native segments and single nodes that run some other way.

A segment is planned for the shapes of its inputs, so every value that decides a shape inside it
must follow from shapes, constants, or inputs whose values are part of the plan's signature
(`by_value`). Where a shape depends on computed data, the segment is cut in front of the node that
asks, and the data enter the next segment by value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pycompress.graph.ir import Graph, Node, Value, captures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DECIDING: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "CumSum": (1,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
}
"""Inputs whose values an operator needs before it can say the shape of its result."""


@dataclass
class Segment:
    """Nodes that become one native program.

    Attributes
    ----------
    inputs : values from outside, constants excepted
    outputs : values that are read outside
    by_value : inputs that decide shapes
    """

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    by_value: set[Value] = field(default_factory=set)


@lru_cache(maxsize=1024)
def _deciding_inputs(op: str) -> tuple[int, ...]:
    return (1,) if op.startswith("Reduce") else _DECIDING.get(op, ())


def deciding(node: Node) -> Iterator[Value]:
    """Iterate over the inputs of a native node whose values decide shapes."""
    for slot in _deciding_inputs(node.op):
        value = node.input(slot)
        if value is not None and value.const is None:
            yield value


def reads(node: Node) -> Iterator[Value]:
    """Iterate over what a node reads: no constants, but what its subgraphs capture."""
    for value in node.inputs:
        if value is not None and value.const is None:
            yield value
    for sub in node.subgraphs():
        yield from captures(sub)


def partition(graph: Graph, is_native: Callable[[Node], bool]) -> list[Segment | Node]:
    """Return the steps that compute the graph, in order, in as few segments as can be."""
    native = {node for node in graph.nodes if is_native(node)}
    ask = [node for node in graph.nodes if _deciding_inputs(node.op) and node in native]
    asked = {v for n in ask for v in deciding(n) if v.producer in native}
    known = _known(graph, native) if asked else set()
    if len(native) == len(graph.nodes) > 0 and asked <= known:
        whole = Segment(graph.nodes)
        _connect(whole, graph)
        return [whole]
    stages: dict[Node, int] = {}  # native nodes at even stages, others at odd ones
    for node in graph.nodes:
        parity = 0 if node in native else 1
        stage = parity
        for value in reads(node):
            if value.producer in stages:
                stage = max(stage, stages[value.producer])
        stage += (stage + parity) % 2
        if node in native:
            for value in deciding(node):
                if value not in known and value.producer in stages:
                    before = stages[value.producer]
                    stage = max(stage, before + 2 - before % 2)
        stages[node] = stage
    return _steps(graph, stages)


def _known(graph: Graph, native: set[Node]) -> set[Value]:
    """Return the values that follow from shapes, constants and small integer inputs."""
    known = {v for v in graph.inputs if _is_small_integer(v)}
    for node in graph.nodes:
        inputs = [v for v in node.inputs if v is not None]
        follows = node.op in {"Shape", "Size"} or all(
            v.const is not None or v in known for v in inputs
        )
        if node in native and follows and not node.op.startswith("Random"):
            known.update(node.outputs)
    return known


def _is_small_integer(value: Value) -> bool:
    integer = value.dtype is not None and value.dtype.kind in "iu"
    return integer and value.shape is not None and len(value.shape) <= 1


def _steps(graph: Graph, stages: dict[Node, int]) -> list[Segment | Node]:
    segments: dict[int, Segment] = {}
    steps: dict[int, list[Segment | Node]] = {}
    for node in graph.nodes:
        stage = stages[node]
        if stage % 2:
            steps.setdefault(stage, []).append(node)
            continue
        if stage not in segments:
            segments[stage] = Segment()
            steps[stage] = [segments[stage]]
        segments[stage].nodes.append(node)
    for segment in segments.values():
        _connect(segment, graph)
    return [step for stage in sorted(steps) for step in steps[stage]]


def _connect(segment: Segment, graph: Graph) -> None:
    own = {v for n in segment.nodes for v in n.outputs}
    given: dict[Value, None] = {}
    for node in segment.nodes:
        for value in node.reads() if node.nested else node.inputs:
            if value is not None and value not in own and value.const is None:
                given[value] = None
    segment.inputs = list(given)
    outside = set(graph.outputs)
    if len(segment.nodes) < len(graph.nodes):
        members = set(segment.nodes)
        for node in graph.nodes:
            if node not in members:
                outside.update(reads(node))
    segment.outputs = [v for n in segment.nodes for v in n.outputs if v in outside]
    stack = [v for n in segment.nodes if _deciding_inputs(n.op) for v in deciding(n)]
    seen: set[Value] = set()
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if value not in own:
            segment.by_value.add(value)
        elif value.producer is not None and value.producer.op not in {"Shape", "Size"}:
            stack += [v for v in value.producer.inputs if v is not None and v.const is None]
