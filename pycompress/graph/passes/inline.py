"""Taking the branch of an If whose condition is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit


def inline_conditions(edit: Edit) -> None:
    """Let the nodes of the branch that is always taken stand where the If stood."""
    pending = edit.nodes()
    while pending:
        node = pending.pop(0)
        condition = node.input(0)
        if not node.is_op("If") or condition is None or condition.const is None:
            continue
        branch = node.attrs["then_branch" if condition.array().item() else "else_branch"]
        if not isinstance(branch, Graph):
            continue
        for inner in branch.nodes:
            edit.add(inner)
        for value, result in zip(node.outputs, branch.outputs, strict=True):
            edit.replace(value, result)
        if edit.owns(node):
            edit.remove(node)
        pending = branch.nodes + pending
