"""The engine that applies rules to a graph."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pycompress.graph.pattern import matches, why_not

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node
    from pycompress.graph.pattern import Rule


def apply_rules(edit: Edit, rules: Sequence[Rule]) -> None:
    """Apply rules until none fits any more."""
    by_op: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for op in rule.root.ops:
            by_op.setdefault(op, []).append(rule)
    while _round(edit, by_op):
        pass


def _round(edit: Edit, by_op: dict[tuple[str, str], list[Rule]]) -> bool:
    """Look at every node, and again at what a rule made; tell whether anything changed."""
    queue = deque(n for n in edit.nodes() if (n.domain, n.op) in by_op)
    queued = set(queue)
    edit.added.clear()
    any_change = False
    while queue:
        node = queue.popleft()
        queued.discard(node)
        if not edit.owns(node) or not _apply_first(edit, by_op[node.domain, node.op], node):
            continue
        any_change = True
        changed = list(edit.added)
        changed += [r for n in changed for v in n.outputs for r in edit.readers(v)]
        edit.added.clear()
        fresh = [n for n in dict.fromkeys(changed) if n not in queued and (n.domain, n.op) in by_op]
        queue.extend(fresh)
        queued.update(fresh)
    return any_change


def _apply_first(edit: Edit, rules: Iterable[Rule], node: Node) -> bool:
    for rule in rules:
        for match in matches(edit, rule, node):
            reason = why_not(edit, rule, match)
            if reason is None:
                rule.replace(edit, match)
                return True
            edit.refused[node] = reason
    return False
