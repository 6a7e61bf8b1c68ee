"""`to_formats`: bringing nodes into the preset formats, and saying what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycompress.graph.apply import apply_rules
from pycompress.graph.edit import Edit, edit_everywhere
from pycompress.graph.rules import FORMAT_STAGES, UNIFYING_RULES, halves, quantized
from pycompress.graph.rules.qoperator import expand_concats
from pycompress.graph.shapes import infer_shapes
from pycompress.graph.survey import survey
from pycompress.graph.types import infer_types

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node


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


def to_formats(graph: Graph, *, in_place: bool = False) -> Rewrite:
    """Bring every node that fits one into its preset format; the model computes the same as before.

    Float models, and those that a quantizer wrote (QDQ, QOperator, DynamicQuantizeLinear), are
    recognised alike.

    Parameters
    ----------
    graph : Graph
        Best after `simplify`. A graph already in preset formats comes back as it is.
    in_place : bool
        Change `graph` itself; it is left alone otherwise.
    """
    graph = graph if in_place else graph.copy()
    refused, edits = _rewrite(graph)
    nodes = [n for edit in edits for n in edit.graph.nodes]
    return Rewrite(graph, [_decision(n, refused) for n in nodes])


def bring_to_formats(graph: Graph) -> Graph:
    """Return `graph`, changed as by `to_formats`; nobody asks what became of each node."""
    _rewrite(graph)
    return graph


def _rewrite(graph: Graph) -> tuple[dict[Node, str], list[Edit]]:
    """Change a graph; return why nodes stay as they are, and the edits of it and its bodies."""
    refused: dict[Node, str] = {}

    def change(edit: Edit) -> None:
        if edit.version:  # shapes and types of what the operators of other domains have become
            infer_shapes(edit.graph, again=True)
            infer_types(edit.graph)
        for stage in FORMAT_STAGES:
            apply_rules(edit, stage)
        quantized.restore(edit)
        halves.restore(edit)
        refused.update(edit.refused)

    edits = edit_everywhere(graph, _unify, change)
    if not survey(graph.nodes).sized:
        infer_shapes(graph, again=True)
    return refused, edits


def _unify(edit: Edit) -> None:
    """Let models that other tools quantized or fused look alike."""
    expand_concats(edit)
    apply_rules(edit, UNIFYING_RULES)


def _decision(node: Node, refused: dict[Node, str]) -> Decision:
    name = node.name or node.output.name
    if node.is_preset():
        return Decision(name, node.op, node.op, "")
    reason = refused.get(node, f"no preset format covers '{node.op}'")
    return Decision(name, node.op, None, reason)
