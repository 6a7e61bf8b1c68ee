"""Patterns and rules: data plus two functions; a refusal is a sentence for the report.

A pattern is a nested tuple, the operator first, then one item for each input::

    ("Add", ("product=MatMul", "x", "W"), "b")

- ``"product=MatMul|Gemm"``: a node of one of these operators, known as `product` to the rule's
  functions; ``"pycompress.linear"`` is a preset node. A tuple matches the first output of a node;
  ``"MatMul:1"`` matches the second.
- ``"*dql=DynamicQuantizeLinear"``: a node whose outputs others may read too. Without the star, a
  node inside the pattern must serve this match alone, since it goes away.
- ``"x"``: any value; ``"W"``, in capitals, a constant; ``"b?"`` or ``"B?"`` may be left out; a
  number is a constant that holds just that number. A name that stands twice must be one value, or
  one node.

Add, Mul and their like match in both orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pycompress.graph.ir import WALKS, Node, Value

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

Pattern: TypeAlias = "tuple[Pattern | str | float, ...]"

_COMMUTES = {"Add", "Mul", "And", "Or", "Xor", "Equal", "Max", "Min", "Sum"}
_CLOSE = 1e-6  # relative; constants are stored in float32


@dataclass(frozen=True, slots=True)
class _Leaf:
    name: str
    constant: bool = False
    optional: bool = False
    number: float | None = None


@dataclass(frozen=True, slots=True)
class _Op:
    name: str
    ops: frozenset[tuple[str, str]]  # (domain, operator)
    output: int
    shared: bool
    inputs: tuple[_Op | _Leaf, ...]
    telling: tuple[tuple[int, _Op | _Leaf], ...]  # inputs that rule places out: products, constants
    swaps: bool  # it, or one in it, fits in two orders of its inputs


class Match:
    """What the names of a pattern stand for in one place of a graph.

    Attributes
    ----------
    found : object
        For what `refuse` works out and `replace` needs, too.
    """

    __slots__ = ("found", "inner", "nodes", "root", "values")

    def __init__(self, root: Node) -> None:
        self.root = root
        self.values: dict[str, Value | None] = {}
        self.nodes: dict[str, Node] = {}
        self.inner: dict[Node, bool] = {}  # matched nodes -> may be read by others
        self.found: Any = None

    def __getitem__(self, name: str) -> Value:
        value = self.values[name]
        if value is None:
            msg = f"'{name}' is absent here"
            raise KeyError(msg)
        return value

    def get(self, name: str) -> Value | None:
        """Return an optional value, None where it is left out."""
        return self.values.get(name)

    def array(self, name: str) -> np.ndarray:
        """Return a constant as a plain array."""
        return self[name].array()


Refuse: TypeAlias = Callable[["Edit", Match], "str | None"]


def _accept(edit: Edit, match: Match) -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class Rule:
    """What becomes what, unless.

    Attributes
    ----------
    name : str
        "from -> to", for people.
    pattern : tuple
        The nodes to be replaced; see the module.
    replace : callable
        ``(edit, match) -> None``: changes the graph so that the root's outputs come from elsewhere.
    refuse : callable
        ``(edit, match) -> str | None``: a sentence that says why this match must stay as it is.
    """

    name: str
    pattern: Pattern
    replace: Callable[[Edit, Match], None]
    refuse: Refuse = _accept
    root: _Op = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", _compile(self.pattern))


def _compile(pattern: Pattern) -> _Op:
    spec = pattern[0]
    if not isinstance(spec, str):
        msg = f"a pattern starts with an operator, not {spec!r}"
        raise TypeError(msg)
    shared = spec.startswith("*")
    name, _, ops = spec.lstrip("*").rpartition("=")
    ops, _, output = ops.partition(":")
    parts = (op.rpartition(".") for op in ops.split("|"))
    pairs = frozenset((domain, op) for domain, _, op in parts)
    inputs = tuple(_compile(p) if isinstance(p, tuple) else _leaf(p) for p in pattern[1:])
    telling = tuple(
        (place, item)
        for place, item in enumerate(inputs)
        if isinstance(item, _Op) or (item.constant and not item.optional)
    )
    swaps = (
        len(inputs) == 2 and any(not domain and op in _COMMUTES for domain, op in pairs)
    ) or any(isinstance(item, _Op) and item.swaps for item in inputs)
    return _Op(name, pairs, int(output or 0), shared, inputs, telling, swaps)


def _leaf(item: str | float) -> _Leaf:
    if not isinstance(item, str):
        return _Leaf("", constant=True, number=float(item))
    name = item.rstrip("?")
    return _Leaf(name, constant=name.isupper(), optional=item.endswith("?"))


Surroundings: TypeAlias = "tuple[tuple[str, str], ...]"
"""A node's domain and operator, then for each input those of its producer, or what it is else."""

_CONSTANT = ("", "constant")
_OTHERS = (("", "absent"), _CONSTANT, ("", "given"))


def surroundings(edit: Edit, node: Node) -> Surroundings:
    """Return what a rule can see of a node without looking further than its inputs."""
    return WALKS.surroundings(node, edit.members, _OTHERS)


def could_fit(op: _Op, around: Surroundings) -> bool:
    """Tell whether a pattern may fit where the surroundings are these."""
    root, *inputs = around
    swaps = len(inputs) == 2 and root[1] in _COMMUTES
    return root in op.ops and all(
        any(
            origin in item.ops if isinstance(item, _Op) else origin == _CONSTANT
            for origin in (inputs if swaps else inputs[place : place + 1])
        )
        for place, item in op.telling
    )


def matches(edit: Edit, rule: Rule, node: Node) -> Iterator[Match]:
    """Iterate over the ways in which a rule's pattern fits at a node.

    It is one object that holds each of them in turn.
    """
    if not rule.root.swaps:
        match = Match(node)
        if _fit(edit, rule.root, node, match):
            yield match
    elif _may_fit(edit, rule.root, node):
        match = Match(node)
        for _ in _match_node(edit, rule.root, node, match):
            yield match


def why_not(edit: Edit, rule: Rule, match: Match) -> str | None:
    """Return the reason for which a match must stay as it is, or None."""
    inner = match.inner
    for node, shared in inner.items():
        if shared:
            continue
        for value in node.outputs:
            if edit.is_output(value):
                return f"'{value.name}', in the middle of it, is an output of the graph"
            for reader in edit.readers(value):
                if reader is not match.root and reader not in inner:
                    return f"'{value.name}', in the middle of it, is also read by '{reader.name}'"
    return rule.refuse(edit, match)


def _fit(edit: Edit, op: _Op, node: Node, match: Match) -> bool:
    """Match a pattern that fits in one way at most; else `match` has a part of it."""
    inputs, count = node.inputs, len(node.inputs)
    if (node.domain, node.op) not in op.ops:
        return False
    if count > len(op.inputs) and any(inputs[len(op.inputs) :]):
        return False
    if op.name and match.nodes.setdefault(op.name, node) is not node:
        return False
    for place, item in enumerate(op.inputs):
        value = inputs[place] if place < count else None
        if isinstance(item, _Op):
            maker = edit.producer(value)
            if maker is None or maker.outputs[item.output : item.output + 1] != [value]:
                return False
            match.inner[maker] = item.shared
            if not _fit(edit, item, maker, match):
                return False
        elif not _fits(item, value, node, match):
            return False
        elif item.name:
            match.values.setdefault(item.name, value)
    return True


def _may_fit(edit: Edit, op: _Op, node: Node) -> bool:
    """Look at operators and constants only: it is quick, and rules out nearly all there is."""
    if (node.domain, node.op) not in op.ops:
        return False
    values = node.inputs
    swaps = len(values) == 2 and node.op in _COMMUTES
    for place, item in op.telling:
        candidates = values if swaps else values[place : place + 1]
        for value in candidates:
            if value is None:
                continue
            if isinstance(item, _Op):
                producer = edit.producer(value)
                if producer is not None and _may_fit(edit, item, producer):
                    break
            elif value.const is not None:
                break
        else:
            return False
    return True


def _match_node(edit: Edit, op: _Op, node: Node, match: Match) -> Iterator[None]:
    """Let `match` hold each way in which a pattern fits at a node, one after the other."""
    inputs, wanted = node.inputs, op.inputs
    if (node.domain, node.op) not in op.ops or any(inputs[len(wanted) :]):
        return
    is_new = bool(op.name) and op.name not in match.nodes
    if is_new:
        match.nodes[op.name] = node
    elif op.name and match.nodes[op.name] is not node:
        return
    padded = [*inputs[: len(wanted)], *[None] * (len(wanted) - len(inputs))]
    yield from _match_inputs(edit, wanted, padded, node, match)
    if node.op in _COMMUTES and not node.domain and len(padded) == 2 and padded[0] is not padded[1]:
        yield from _match_inputs(edit, wanted, padded[::-1], node, match)
    if is_new:
        del match.nodes[op.name]


def _match_inputs(
    edit: Edit,
    items: tuple[_Op | _Leaf, ...],
    values: list[Value | None],
    reader: Node,
    match: Match,
    *,
    start: int = 0,
) -> Iterator[None]:
    """Match the inputs from `start` on; what a way has put into `match` goes when it is done."""
    named = []
    for place in range(start, len(items)):
        item, value = items[place], values[place]
        if isinstance(item, _Op):
            for _ in _match_producer(edit, item, value, match):
                yield from _match_inputs(edit, items, values, reader, match, start=place + 1)
            break
        if not _fits(item, value, reader, match):
            break
        if item.name and item.name not in match.values:
            match.values[item.name] = value
            named.append(item.name)
    else:
        yield
    for name in named:
        del match.values[name]


def _match_producer(edit: Edit, op: _Op, value: Value | None, match: Match) -> Iterator[None]:
    node = edit.producer(value)
    if node is None or op.output >= len(node.outputs) or node.outputs[op.output] is not value:
        return
    before = match.inner.get(node)
    match.inner[node] = op.shared
    yield from _match_node(edit, op, node, match)
    if before is None:
        del match.inner[node]
    else:
        match.inner[node] = before


def _fits(leaf: _Leaf, value: Value | None, reader: Node, match: Match) -> bool:
    if value is None:
        return leaf.optional
    if leaf.constant and value.const is None:
        return False
    if leaf.number is not None:
        return _is_number(value, leaf.number) and not _adds_axes(value, reader)
    return match.values.get(leaf.name, value) is value


def _is_number(value: Value, number: float) -> bool:
    if (
        not isinstance(value.const, np.ndarray)
        or value.const.size != 1
        or value.const.dtype == bool
    ):
        return False
    found = float(value.const.reshape(()))
    return abs(found - number) <= _CLOSE * abs(number)


def _adds_axes(number: Value, reader: Node) -> bool:
    """Tell whether a number written as [[[2.]]] might give the result more axes."""
    rank = len(number.shape or ())
    others = [v.shape for v in reader.inputs if v is not None and v is not number]
    return rank > 0 and not any(s is not None and len(s) >= rank for s in others)
