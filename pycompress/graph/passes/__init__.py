"""Passes that make a graph smaller and plainer without changing what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.apply import apply_rules
from pycompress.graph.edit import Edit, edit_everywhere
from pycompress.graph.passes.fold import fold_constants, fold_for_session, has_known_results
from pycompress.graph.passes.identities import drop_identities
from pycompress.graph.passes.inline import inline_conditions
from pycompress.graph.passes.loops import hoist_invariants
from pycompress.graph.passes.share import share_constants, share_results
from pycompress.graph.rules import SIMPLIFY_RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Graph


def use_rules(edit: Edit) -> None:
    """Recognise spelled-out functions; take scales, shifts and padding into the products."""
    apply_rules(edit, SIMPLIFY_RULES)


PASSES: tuple[Callable[[Edit], None], ...] = (
    fold_constants,
    inline_conditions,
    hoist_invariants,
    drop_identities,
    share_constants,
    share_results,
    fold_constants,
    drop_identities,
    use_rules,
)
"""What `simplify` does, in order."""


SIMPLIFIED = "pycompress.simplified"
"""Key in the metadata of a file whose graph `simplify` has been over: nothing is left to find."""


def simplify(graph: Graph, *, in_place: bool = False) -> Graph:
    """Return a graph that computes the same with less.

    Parameters
    ----------
    graph : Graph
    in_place : bool
        Change `graph` itself; it is left alone otherwise.
    """
    graph = graph if in_place else graph.copy()
    edit_everywhere(graph, *PASSES)
    return graph


_FOR_SESSION = tuple(fold_for_session if p is fold_constants else p for p in PASSES)


def simplify_for_session(graph: Graph) -> Graph:
    """Return `graph`, changed, that computes the same with less; constants may grow.

    A graph that was simplified for a file has at most some large results left.
    """
    # Whoever made preset nodes has simplified the graph.
    if SIMPLIFIED not in graph.metadata and not any(node.is_preset() for node in graph.nodes):
        edit_everywhere(graph, *_FOR_SESSION)
    elif has_known_results(graph):
        edit_everywhere(graph, fold_for_session)
    return graph
