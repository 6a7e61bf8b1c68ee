"""Shorter names, where names are much of a file.

Exporters string the names of all the layers that went into a node together, and write the string at
each edge: of a small model that can be half of the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompress.graph.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompress.graph.ir import Graph, Node, Value

LONG = 24
"""Names up to so many letters stay."""

TAIL = 12
"""Letters at the end of a longer one that are kept, for the reader."""

MUCH = 0.05
"""Share of a model's bytes from which its long names are shortened."""


def with_brief_names(graph: Graph) -> Graph:
    """Return the graph with its long names cut to their ends, if they are much of it.

    The names of inputs and outputs stay, and so do all names of a model in which long ones take
    less than 5 % of the bytes of constants and names.

    Parameters
    ----------
    graph : Graph
        It is left as it is.
    """
    graph = graph.copy()  # with its subgraphs
    named = list(_named(graph))
    kept = {id(v) for v in (*graph.inputs, *graph.outputs)}
    long = [n for n in named if len(n.name) > LONG and id(n) not in kept]
    constants = {id(v.const): v.const.nbytes for v in _values(graph) if v.const is not None}
    # a value's name stands where it is computed and where it is read
    spent = 2 * sum(len(n.name) for n in long)
    if spent < MUCH * (sum(constants.values()) + 2 * sum(len(n.name) for n in named)):
        return graph
    names = Names(graph)
    for thing in long:
        thing.name = names.fresh(_brief(thing.name))
    return graph


def _brief(name: str) -> str:
    """Return the end of a name, from the beginning of a word in it."""
    tail = name[-TAIL:]
    found = re.search(r"[/;:.](\w.*)", tail)
    return found.group(1) if found else tail.lstrip("/;:._")


def _named(graph: Graph) -> Iterator[Node | Value]:
    yield from dict.fromkeys(_values(graph))
    yield from _nodes(graph)


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.values()
    for node in graph.nodes:
        for sub in node.subgraphs():
            yield from _values(sub)


def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for sub in node.subgraphs():
            yield from _nodes(sub)
