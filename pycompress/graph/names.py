"""Names for new values and nodes, unique in a model with all its subgraphs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pycompress.graph.ir import WALKS

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph


class Names:
    """The names that a model uses, and new ones beside them.

    Parameters
    ----------
    graph : Graph
    late : bool
        Collect the names when the first new one is asked for: most changes to a graph never ask.
        Only for a graph whose list of nodes stays as it is until then.
    """

    def __init__(self, graph: Graph, *, late: bool = False) -> None:
        self._graph: Graph | None = graph if late else None
        self._taken: set[str] = set()
        self._next: defaultdict[str, int] = defaultdict(int)
        if not late:
            _collect(graph, self._taken)

    def fresh(self, stem: str) -> str:
        """Return `stem`, with a number behind it if need be, and never again."""
        if self._graph is not None:
            _collect(self._graph, self._taken)
            self._graph = None
        name = stem
        while not name or name in self._taken:
            self._next[stem] += 1
            name = f"{stem}_{self._next[stem]}"
        self._taken.add(name)
        return name


def tell_apart(graph: Graph) -> Graph:
    """Return `graph`, changed: no two nodes give values of one name.

    Bodies that stand beside each other may use a name twice, as no one sees both.
    """
    names, seen = Names(graph, late=True), set[str]()
    for node in graph.everywhere():
        for value in node.outputs:
            if value.name in seen:
                value.name = names.fresh(value.name)
            seen.add(value.name)
    return graph


def _collect(graph: Graph, taken: set[str]) -> None:
    taken.update([value.name for value in (*graph.inputs, *graph.outputs)])
    WALKS.names(graph.nodes, taken)
    for node in graph.nodes:
        if node.nested:
            for sub in node.subgraphs():
                _collect(sub, taken)
