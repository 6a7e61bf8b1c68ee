"""Layers whose input is rounded to bfloat16 just before, and whose weights are such numbers.

    x -> Cast to bfloat16 -> Cast to float32 -> conv, linear   =>   the same layer, with `bf16`

Its kernel rounds the input itself and multiplies halves of the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET, Graph, in_halves
from pycompress.graph.survey import survey
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from pycompress.graph.ir import Node, Value

_FLOAT = np.dtype(np.float32)
_BFLOAT16 = {"digits": 7, "least_exponent": -126}


def take_roundings(graph: Graph) -> Graph:
    """Return `graph`, changed: layers of bfloat16 round their input; its constants are float32.

    Parameters
    ----------
    graph : Graph
        In preset formats, casts to bfloat16 written as `round_to` (`widen_narrow`).
    """
    found = survey(graph.nodes)
    if not found.foreign and found.ops.isdisjoint(("Cast", "round_to")):
        return graph
    for node in graph.nodes:
        if node.op == "Cast" and node.inputs[0] is not None and node.output.dtype == _FLOAT:
            _widen(node.inputs[0], node.output)
    for node in graph.nodes:
        if node.domain != PRESET:
            continue
        if node.op in {"conv", "linear"} and _may_round(node):
            source = _unrounded(node.inputs[0])
            if source is not None and _holds_halves(node.inputs[1]):
                node.inputs[0] = source
                node.attrs["bf16"] = True
        for value in node.inputs:
            if value is not None and value.const is not None:
                _widen(value, value)
    if not found.ops.isdisjoint(("Cast", "round_to")):  # which nobody may read now
        graph.prune()
    return graph


def _widen(source: Value, target: Value) -> None:
    """Let `target` be a constant of float32, where `source` is one of bfloat16."""
    if in_halves(source.const):
        target.const, target.producer = source.array().astype(np.float32), None


def _may_round(node: Node) -> bool:
    return node.op == "linear" or node.attrs.get("group", 1) == 1


def _unrounded(value: Value | None) -> Value | None:
    """Return what is rounded to bfloat16 and comes out as this value."""
    value = _behind_casts(value)
    node = None if value is None else value.producer
    if node is None or node.domain != NATIVE or node.op != "round_to":
        return None
    if any(node.attrs[key] != wanted for key, wanted in _BFLOAT16.items()):
        return None
    source = _behind_casts(node.inputs[0])
    return source if source is not None and source.dtype == _FLOAT else None


def _behind_casts(value: Value | None) -> Value | None:
    """Look through casts of float32 to float32, which the rounding's own have become."""
    while value is not None and value.producer is not None and value.producer.is_op("Cast"):
        before = value.producer.inputs[0]
        if before is None or before.dtype != _FLOAT or value.dtype != _FLOAT:
            break
        value = before
    return value


def _holds_halves(weight: Value | None) -> bool:
    const = None if weight is None else weight.const
    if not isinstance(const, np.ndarray):
        return False
    if const.dtype != _FLOAT:
        return in_halves(const)
    return not (np.ascontiguousarray(const).view(np.uint32) & 0xFFFF).any()
