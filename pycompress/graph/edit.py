"""A graph while it is being changed.

Who reads what is kept up to date, so that a rule costs what it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import WALKS, Graph, Node, Quantized, Value
from pycompress.graph.names import Names
from pycompress.graph.shapes import infer_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycompress.graph.ir import Constant
    from pycompress.graph.shapes import Shapes


class Edit:
    """One graph (or subgraph) under change.

    Attributes
    ----------
    graph : Graph
        Changed in place; its list of nodes is written back by `finish`.
    added : list of Node
        Nodes that came in since the caller last emptied the list.
    refused : dict
        Why a node does not take the form that a rule offered; the last reason stands.
    version : int
        Grows with every change.
    members : dict of Node
        The nodes as they are now, new ones last; the values are None.
    """

    def __init__(self, graph: Graph, names: Names | None = None) -> None:
        self.graph = graph
        self.names = names or Names(graph, late=True)
        self.added: list[Node] = []
        self.refused: dict[Node, str] = {}
        self.version = 0
        self._shapes = graph.known if graph.known and graph.known.are_of(graph) else None
        graph.known = None
        self._stale: set[Node] = set()  # what `_shapes` has to look at again
        self.members = dict.fromkeys(graph.nodes)
        self._is_ordered = False
        self._readers: dict[Value, dict[Node, None]] = WALKS.readers(graph.nodes, as_dicts=True)

    def _register(self, node: Node) -> None:
        readers = self._readers
        for value in node.reads() if node.nested else node.inputs:
            if value is None:
                continue
            known = readers.get(value)
            if known is None:
                readers[value] = {node: None}
            else:
                known[node] = None

    # -- questions

    def nodes(self) -> list[Node]:
        """Return the nodes as they are now; new ones stand last."""
        return list(self.members)

    def owns(self, node: Node | None) -> bool:
        """Tell whether a node is in this graph (and not in one around it)."""
        return node in self.members

    def producer(self, value: Value | None) -> Node | None:
        """Return the node of this graph that computes a value."""
        return value.producer if value is not None and value.producer in self.members else None

    def readers(self, value: Value) -> list[Node]:
        """Return the nodes that read a value."""
        return list(self._readers.get(value, ()))

    def shapes(self) -> Shapes:
        """Return the shapes of the graph as it was when its nodes were last written back."""
        if self._shapes is None:
            self._shapes = infer_shapes(self.graph, again=True)
        else:
            self._shapes.keep_up(self.graph, self._stale, self.readers)
        self._stale.difference_update(self.graph.nodes)
        return self._shapes

    def is_output(self, value: Value) -> bool:
        """Tell whether a value is an output of this graph."""
        return value in self.graph.outputs

    def is_only_read_by(self, value: Value, node: Node) -> bool:
        """Tell whether `node` is the one reader of a value."""
        readers = self._readers.get(value, ())
        return len(readers) == 1 and node in readers and not self.is_output(value)

    # -- changes

    def constant(self, stem: str, data: Constant) -> Value:
        """Return a new constant, named after `stem`."""
        dtype = np.dtype(np.float32) if isinstance(data, Quantized) else data.dtype
        return Value(self.names.fresh(stem), dtype, data.shape, data)

    def insert(
        self,
        op: str,
        inputs: list[Value | None],
        like: Value,
        attrs: dict[str, Any] | None = None,
        domain: str = "",
    ) -> Value:
        """Add a node with one output, a new value with the type and shape of `like`."""
        out = Value(self.names.fresh(f"{like.name}_{op.lower()}"), like.dtype, like.shape)
        self.add(Node(op, inputs, [out], attrs or {}, domain, self.names.fresh(out.name)))
        return out

    def add(self, node: Node) -> Node:
        """Take in a node."""
        self.version += 1
        self._is_ordered = False
        self.members[node] = None
        self._register(node)
        self.added.append(node)
        self._stale.add(node)
        return node

    def supersede(
        self,
        old: Node,
        op: str,
        inputs: list[Value | None],
        attrs: dict[str, Any] | None = None,
        domain: str = "",
    ) -> Node:
        """Let a new node compute the outputs of `old`, and drop what that leaves unread."""
        node = Node(op, inputs, old.outputs, attrs or {}, domain, old.name, dict(old.metadata))
        self.add(node)
        self.remove(old)
        return node

    def set_inputs(self, node: Node, inputs: list[Value | None]) -> None:
        """Let a node read other values, and drop what that leaves unread."""
        self.version += 1
        before = list(dict.fromkeys(node.reads()))
        node.inputs = inputs
        self._reread(node, before)
        self.added.append(node)
        self._stale.add(node)

    def replace(self, old: Value, new: Value) -> None:
        """Let everything that reads `old` read `new`, and drop what that leaves unread.

        A graph output keeps its name: `new` takes it where it can, and an Identity carries it where
        it can't.
        """
        self.version += 1
        readers = self.readers(old)
        for node in readers:
            before = node.reads() if node.nested else ()
            node.inputs = [new if v is old else v for v in node.inputs]
            for sub in node.subgraphs() if node.nested else ():
                _replace_inside(sub, old, new)
            if node.nested:  # a body may have read more than `old` through it
                self._reread(node, list(dict.fromkeys(before)), keep=True)
        if readers and new is not old:
            self._readers.setdefault(new, {}).update(dict.fromkeys(readers))
            self._readers[old].clear()
            self.added += readers
            self._stale.update(readers)
        producer = self.producer(old)
        if self.is_output(old):
            if self.owns(new.producer) and not self.is_output(new):
                old.name, new.name = new.name, old.name
                new.dtype, new.shape = new.dtype or old.dtype, new.shape or old.shape
                self.graph.outputs = [new if v is old else v for v in self.graph.outputs]
            elif not (
                producer is not None and producer.is_op("Identity") and producer.inputs == [new]
            ):
                name = self.names.fresh(f"{old.name}_identity")
                self.add(Node("Identity", [new], [old], name=name))
                if producer is not None:
                    self.remove(producer)
                return
        if producer is not None:
            self.remove_if_dead(producer)

    def make_constant(self, value: Value, data: Constant) -> None:
        """Let a value that a node computes be a constant; it must not be an output of the graph."""
        self.version += 1
        producer = self.producer(value)
        value.const, value.producer = data, None
        value.shape = data.shape
        readers = self.readers(value)
        self.added += readers
        self._stale.update(readers)
        if producer is not None and not any(
            self._alive(v) for v in producer.outputs if v is not value
        ):
            self.remove(producer)

    def remove(self, node: Node) -> None:
        """Drop a node, and the nodes that only it needed."""
        self.version += 1
        del self.members[node]
        self.refused.pop(node, None)
        for value in node.reads() if node.nested else node.inputs:
            if value is not None:
                self._forget(value, node)

    def remove_if_dead(self, node: Node) -> None:
        """Drop a node when nobody reads any of its outputs."""
        if node in self.members and not any(self._alive(v) for v in node.outputs):
            self.remove(node)

    def finish(self) -> Graph:
        """Write the nodes back, sorted, without those that nobody needs."""
        self.graph.nodes = list(self.members)
        if self._is_ordered:  # nodes went, and what read their results reads what came before
            return self.graph
        self.graph.prune()
        self._is_ordered = True
        count = len(self.members)
        dead = self.members.keys() - self.graph.nodes if len(self.graph.nodes) < count else ()
        self.version += len(dead)
        self.members = dict.fromkeys(self.graph.nodes)
        for node in dead:
            for value in node.reads():
                self._readers[value].pop(node, None)
        return self.graph

    def _alive(self, value: Value) -> bool:
        return bool(self._readers.get(value)) or self.is_output(value)

    def _reread(self, node: Node, before: list[Value], *, keep: bool = False) -> None:
        self._register(node)
        now = set(node.reads())
        for value in before:
            if value not in now:
                if keep:
                    self._readers[value].pop(node, None)
                else:
                    self._forget(value, node)

    def _forget(self, value: Value, node: Node) -> None:
        readers = self._readers[value]
        readers.pop(node, None)
        if not readers and value.producer in self.members:
            self.remove_if_dead(value.producer)


def _replace_inside(graph: Graph, old: Value, new: Value) -> None:
    """Let a subgraph read `new` instead of `old`, a value from outside of it."""
    for node in graph.nodes:
        node.inputs = [new if v is old else v for v in node.inputs]
        for sub in node.subgraphs():
            _replace_inside(sub, old, new)
    for position, value in enumerate(graph.outputs):
        if value is old:  # a subgraph returns what it computes itself
            out = Value(f"{new.name}_returned_{id(graph)}", new.dtype, new.shape)
            graph.nodes.append(Node("Identity", [new], [out]))
            graph.outputs[position] = out


def edit_everywhere(graph: Graph, *changes: Callable[[Edit], None]) -> list[Edit]:
    """Apply changes, one after the other, to a graph, in place, and then to its subgraphs."""
    return list(_edits(graph, Names(graph, late=True), changes))


def _edits(graph: Graph, names: Names, changes: Sequence[Callable[[Edit], None]]) -> Iterator[Edit]:
    edit = Edit(graph, names)
    seen: dict[Callable[[Edit], None], int] = {}
    for change in changes:
        if seen.get(change) != edit.version:  # what it left, it has nothing more to do with
            before = edit.version
            change(edit)
            if edit.version != before or not seen:
                edit.finish()
            seen[change] = edit.version
    yield edit
    for node in graph.nodes:
        for sub in node.subgraphs():
            yield from _edits(sub, names, changes)
