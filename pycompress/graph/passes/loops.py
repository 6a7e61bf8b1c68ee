"""Taking out of a Loop or a Scan what it carries along and never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value

_BEFORE = {"Loop": (2, 2, 1), "Scan": (0, 0, 0)}
"""How many of a node's inputs, its body's inputs and its body's results stand before the states."""


def hoist_invariants(edit: Edit) -> None:
    """Let a body read from outside what is the same in every round.

    Exporters hand weights to a loop as states that it returns untouched. As captures they are
    constants in the body as well, and its products are products with known weights.
    """
    for node in edit.nodes():
        body = node.attrs.get("body")
        if node.domain or node.op not in _BEFORE or not isinstance(body, Graph):
            continue
        found = [i for i in range(_states(node, body)) if _is_invariant(edit, node, body, i)]
        for i in reversed(found):
            if not edit.owns(node):
                break
            _hoist(edit, node, body, i)


def _states(node: Node, body: Graph) -> int:
    if node.op == "Loop":
        return len(node.inputs) - _BEFORE["Loop"][0]
    return len(body.inputs) - int(node.attrs["num_scan_inputs"])


def _is_invariant(edit: Edit, node: Node, body: Graph, state: int) -> bool:
    start, within, returned = (first + state for first in _BEFORE[node.op])
    if node.input(start) is None or edit.is_output(node.outputs[state]):
        return False
    result = body.outputs[returned]
    while result.producer is not None and result.producer.is_op("Identity"):
        source = result.producer.inputs[0]
        if source is None:
            return False
        result = source
    return result is body.inputs[within]


def _hoist(edit: Edit, node: Node, body: Graph, state: int) -> None:
    start, within, returned = (first + state for first in _BEFORE[node.op])
    initial: Value = node.inputs[start]  # type: ignore[assignment]  # _is_invariant has seen it
    inside = body.inputs.pop(within)
    del body.outputs[returned]
    body.replace(inside, initial)
    final = node.outputs.pop(state)
    final.producer = None
    edit.replace(final, initial)  # before the loop drops it: it may be the only one to read it
    edit.set_inputs(node, [*node.inputs[:start], *node.inputs[start + 1 :]])
    edit.remove_if_dead(node)
