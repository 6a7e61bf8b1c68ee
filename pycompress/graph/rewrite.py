"""The engine that applies rules, and `to_formats`, which brings a graph into the preset formats."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycompress.graph.edit import Edit, edit_everywhere
from pycompress.graph.pattern import matches, why_not
from pycompress.graph.rules import FORMAT_STAGES
from pycompress.graph.rules.qoperator import expand_concats
from pycompress.graph.rules.quantized import restore
from pycompress.graph.shapes import infer_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompress.graph.ir import Graph, Node
    from pycompress.graph.pattern import Rule


@dataclass(frozen=True)
class Decision:
    """What became of one node.

    Attributes
    ----------
    node : str
        The node's name.
    op : str
        The operator it ended as.
    format : str or None
        The preset format that it took; None when it stays as it is.
    reason : str
        Why it stays; empty for a node in a format.
    """

    node: str
    op: str
    format: str | None
    reason: str


@dataclass(frozen=True)
class Rewrite:
    """A graph in preset formats, and what became of each node."""

    graph: Graph
    decisions: list[Decision]


def apply_rules(edit: Edit, rules: Sequence[Rule]) -> None:
    """Apply rules until none fits any more; a node that a rule made is looked at again, and so are its readers."""
    by_op: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for op in rule.root.ops:
            by_op.setdefault(op, []).append(rule)
    queue = deque(edit.nodes())
    queued = set(queue)
    edit.added.clear()
    while queue:
        node = queue.popleft()
        queued.discard(node)
        candidates = by_op.get((node.domain, node.op), ())
        if candidates and edit.owns(node) and _apply_first(edit, candidates, node):
            changed = list(edit.added)
            changed += [r for n in changed for v in n.outputs for r in edit.readers(v)]
            edit.added.clear()
            fresh = [n for n in dict.fromkeys(changed) if n not in queued]
            queue.extend(fresh)
            queued.update(fresh)


def _apply_first(edit: Edit, rules: Iterable[Rule], node: Node) -> bool:
    for rule in rules:
        for match in matches(edit, rule, node):
            reason = why_not(edit, rule, match)
            if reason is None:
                rule.replace(edit, match)
                return True
            edit.refused[node] = reason
    return False


def to_formats(graph: Graph) -> Rewrite:
    """Bring every node that fits one into its preset format; the model computes the same as before.

    Float models, and those that a quantizer wrote (QDQ, QOperator, DynamicQuantizeLinear), are recognised alike.

    Parameters
    ----------
    graph : Graph
        Best after `simplify`. It is not changed. A graph already in preset formats comes back as it is.
    """
    graph = graph.copy()
    infer_shapes(graph)
    refused: dict[Node, str] = {}

    def change(edit: Edit) -> None:
        expand_concats(edit)
        for stage in FORMAT_STAGES:
            apply_rules(edit, stage)
        restore(edit)
        refused.update(edit.refused)

    edits = edit_everywhere(graph, change)
    nodes = [n for edit in edits for n in edit.graph.nodes]
    return Rewrite(graph, [_decision(n, refused) for n in nodes])


def _decision(node: Node, refused: dict[Node, str]) -> Decision:
    name = node.name or node.output.name
    if node.is_preset():
        return Decision(name, node.op, node.op, "")
    reason = refused.get(node, f"no preset format covers '{node.op}'")
    return Decision(name, node.op, None, reason)
