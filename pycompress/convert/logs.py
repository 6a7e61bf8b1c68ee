"""Layers whose result a logarithm is taken of: the front ends that make spectra of sound.

Their results span orders of magnitude, and a logarithm makes the small ones count as much as the
large: integers of one scale, which are right in proportion to the largest, keep nothing of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node

_KEEPS = frozenset(
    (
        *("Abs", "Add", "Clip", "Concat", "Div", "Flatten", "Gather", "Identity", "Max", "Mul"),
        *("Pad", "Pow", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Relu"),
        *("Reshape", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze"),
        *("Cast", "MatMul", "Where"),
    )
)
"""Operators whose results span as much as what they read."""

_LAYERS, _KEEPING = ("conv", "linear"), ("", "relu", "clip")


def before_logs(graph: Graph) -> set[Node]:
    """Return the layers that a logarithm looks through to, by operators that keep what it sees."""
    found: set[Node] = set()
    left = [node for node in graph.everywhere() if node.is_op("Log")]
    seen: set[Node] = set(left)
    while left:
        for value in left.pop().inputs:
            node = None if value is None else value.producer
            if node is None or node in seen:
                continue
            layer = node.is_preset(*_LAYERS) and (node.attrs.get("activation") or "") in _KEEPING
            if layer:
                found.add(node)
            if layer or node.is_op(*_KEEPS):
                seen.add(node)
                left.append(node)
    return found
