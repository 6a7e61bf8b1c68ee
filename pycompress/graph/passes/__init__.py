"""Passes that make a graph smaller and plainer without changing what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.apply import apply_rules
from pycompress.graph.edit import Edit, edit_everywhere
from pycompress.graph.passes.fold import fold_constants
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
