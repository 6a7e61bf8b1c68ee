"""The engine that applies rules to a graph."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from pycompress.graph.pattern import Surroundings, could_fit, matches, surroundings, why_not

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node
    from pycompress.graph.pattern import Rule

Rules: TypeAlias = "tuple[Rule, ...]"


class _Index:
    """Rules, found by what stands around a node.

    A model repeats itself: which of a hundred rules can fit between the same neighbours is asked
    once.
    """

    def __init__(self, rules: Rules) -> None:
        self._by_op: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules:
            for op in rule.root.ops:
                self._by_op.setdefault(op, []).append(rule)
        self.ops = frozenset(op for _, op in self._by_op)
        self._known: dict[Surroundings, Rules] = {}

    def has(self, node: Node) -> bool:
        """Tell whether any rule starts from such a node."""
        return (node.domain, node.op) in self._by_op

    def rules(self, edit: Edit, node: Node) -> Rules:
        """Return the rules that could fit at a node, in their order."""
        around = surroundings(edit, node)
        found = self._known.get(around)
        if found is None:
            rules = self._by_op.get(around[0], ())
            found = tuple(rule for rule in rules if could_fit(rule.root, around))
            if len(self._known) < _MOST_KNOWN:
                self._known[around] = found
        return found


_MOST_KNOWN = 4096  # neighbourhoods; a strange model must not make the process grow
_index = lru_cache(maxsize=64)(_Index)


def apply_rules(edit: Edit, rules: Rules) -> None:
    """Apply rules until none fits any more."""
    index = _index(rules)
    nodes = [node for node in edit.members if node.op in index.ops and index.has(node)]
    while nodes:
        nodes = _round(edit, index, nodes)


def _round(edit: Edit, index: _Index, nodes: list[Node]) -> list[Node]:
    """Look at nodes, and at what rules made of them, again and again.

    Returns
    -------
    list of Node
        What to look at once more, when anything changed: where a rule could fit and did not, what
        stands further away may be another now.
    """
    queue = deque(nodes)
    queued = set(nodes)
    edit.added.clear()
    any_change = False
    waiting: dict[Node, None] = {}
    while queue:
        node = queue.popleft()
        queued.discard(node)
        could_fit = index.rules(edit, node) if edit.owns(node) else ()
        if not could_fit:
            continue
        if not _apply_first(edit, could_fit, node):
            waiting[node] = None
            continue
        any_change = True
        changed, edit.added = edit.added, []
        changed += [r for n in changed for v in n.outputs for r in edit.readers(v)]
        for fresh in dict.fromkeys(changed) if changed else ():
            if fresh.op in index.ops and fresh not in queued and index.has(fresh):
                queue.append(fresh)
                queued.add(fresh)
    return list(waiting) if any_change else []


def _apply_first(edit: Edit, rules: Iterable[Rule], node: Node) -> bool:
    for rule in rules:
        for match in matches(edit, rule, node):
            reason = why_not(edit, rule, match)
            if reason is None:
                rule.replace(edit, match)
                return True
            edit.refused[node] = reason
    return False
