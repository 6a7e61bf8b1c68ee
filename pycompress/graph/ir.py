"""The graph: values, nodes, and the few operations that every pass is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pycompress import _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycompress.graph.shapes import Shapes

PRESET = "pycompress"
"""Domain of the nodes in a preset format (`formats.py`); the empty domain is standard ONNX."""

Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A constant in integers, and what they stand for: ``(data - zero_point) * scale``.

    Attributes
    ----------
    data : ndarray of int8, uint8 or int32
    scale : ndarray of float32, shape () or (data.shape[axis],)
    zero_point : ndarray of data's dtype, shape of `scale`
    axis : int or None
        The channel axis; None when one scale serves the whole tensor.
    """

    data: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.data.shape

    @property
    def nbytes(self) -> int:
        """Bytes of data, scales and zero points."""
        return self.data.nbytes + self.scale.nbytes + self.zero_point.nbytes

    def per_channel(self, parameter: np.ndarray) -> np.ndarray:
        """Reshape a scale or zero point so that it broadcasts against `data`."""
        if self.axis is None or parameter.ndim == 0:
            return parameter
        return parameter.reshape([-1 if i == self.axis else 1 for i in range(self.data.ndim)])

    def dequantize(self) -> np.ndarray:
        """Return the float32 tensor that the integers stand for (ONNX DequantizeLinear-13)."""
        shifted = self.data.astype(np.int32) - self.per_channel(self.zero_point).astype(np.int32)
        result: np.ndarray = shifted.astype(np.float32) * self.per_channel(self.scale)
        return result


Constant: TypeAlias = np.ndarray | Quantized


def in_halves(constant: Constant | None) -> bool:
    """Tell whether a constant is held in bfloat16, of which NumPy knows no more than the name."""
    if not isinstance(constant, np.ndarray) or constant.dtype.isbuiltin == 1:  # quick to tell
        return False
    return constant.dtype.name == "bfloat16"


@dataclass(eq=False, slots=True)
class Value:
    """A tensor that flows along an edge. Identity is the object; names are unique within a model.

    Attributes
    ----------
    dtype : numpy dtype or None when unknown
    shape : tuple of int, str (a named dimension) or None; None when even the rank is unknown
    const : ndarray or Quantized when the tensor is known before the model runs; a float32 tensor
        that a preset node reads may be held in bfloat16
    producer : the node that computes it; None for graph inputs and constants
    """

    name: str
    dtype: np.dtype[Any] | None = None
    shape: Shape | None = None
    const: Constant | None = None
    producer: Node | None = None

    def array(self) -> np.ndarray:
        """Return the constant as a plain array, dequantized if need be."""
        if self.const is None:
            msg = f"value '{self.name}' is not a constant"
            raise ValueError(msg)
        return self.const.dequantize() if isinstance(self.const, Quantized) else self.const

    def __repr__(self) -> str:
        kind = "const " if self.const is not None else ""
        shape = "?" if self.shape is None else list(self.shape)
        return f"<{kind}{self.name}: {self.dtype}{shape}>"


@dataclass(eq=False, init=False, slots=True)
class Node:
    """An operator applied to values. ``inputs`` holds None where an optional input is left out.

    Attributes
    ----------
    attrs : dict
        Attributes by ONNX name: int, float, str, bytes, lists of them, ndarray, or Graph (a
        subgraph, which may read values of the graphs around it).
    metadata : dict of str
        The node's ``metadata_props``.
    nested : bool
        Whether graphs are among the attributes; a node has them from the beginning or never.
    """

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attrs: dict[str, Any]
    domain: str
    name: str
    metadata: dict[str, str]
    nested: bool

    def __init__(  # noqa: PLR0917 - the fields, in their order
        self,
        op: str,
        inputs: list[Value | None],
        outputs: list[Value],
        attrs: dict[str, Any] | None = None,
        domain: str = "",
        name: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.op, self.inputs, self.outputs = op, inputs, outputs
        self.attrs = attrs = {} if attrs is None else attrs
        self.domain, self.name = domain, name
        self.metadata = {} if metadata is None else metadata
        self.nested = False
        for value in outputs:
            value.producer = self
        for attr in attrs.values():
            if isinstance(attr, Graph):
                self.nested = True

    @property
    def output(self) -> Value:
        """The first output."""
        return self.outputs[0]

    def input(self, index: int) -> Value | None:
        """Return input `index`, or None when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def is_op(self, *ops: str) -> bool:
        """Tell whether this is one of these standard ONNX operators."""
        return self.domain == "" and self.op in ops

    def is_preset(self, *formats: str) -> bool:
        """Tell whether this node is in one of these preset formats (any, when none is named)."""
        return self.domain == PRESET and (not formats or self.op in formats)

    def reads(self) -> list[Value]:
        """Return the values that the node reads, its subgraphs' captures included."""
        found = [value for value in self.inputs if value is not None]
        return found + self.captured() if self.nested else found

    def captured(self) -> list[Value]:
        """Return the values that the node's subgraphs read from the graphs around them."""
        return [value for graph in self.subgraphs() for value in captures(graph)]

    def subgraphs(self) -> list[Graph]:
        """Return the graphs among the attributes."""
        if not self.nested:
            return []
        return [attr for attr in self.attrs.values() if isinstance(attr, Graph)]

    def __repr__(self) -> str:
        return f"<{self.domain or 'onnx'}.{self.op} {self.name or self.output.name}>"


@dataclass(eq=False)
class Graph:
    """A model's graph, its nodes in an order in which they can run.

    Attributes
    ----------
    opset : int
        Version of the standard operators that the nodes are written in.
    opsets : dict
        Versions of other domains.
    known : Shapes or None
        What a reader worked out about shapes; the first `Edit` takes it over.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    opset: int = 18
    opsets: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    doc: str = ""
    known: Shapes | None = field(default=None, repr=False)

    def copy(self) -> Graph:
        """Return a graph of new nodes and values; the arrays of constants are shared."""
        return _Copier().graph(self)

    def consumers(self) -> dict[Value, list[Node]]:
        """Map each value to its readers, in order; a node whose subgraph reads it counts too."""
        users: dict[Value, list[Node]] = WALKS.readers(self.nodes, as_dicts=False)
        return users

    def everywhere(self) -> Iterator[Node]:
        """Iterate over the nodes of this graph and of all the bodies in it."""
        for node in self.nodes:
            yield node
            for sub in node.subgraphs():
                yield from sub.everywhere()

    def values(self) -> Iterator[Value]:
        """Iterate over every value once: inputs, then what the nodes read and compute."""
        found = list(self.inputs)
        for node in self.nodes:
            found += node.reads()
            found += node.outputs
        found += self.outputs
        return iter(dict.fromkeys(found))

    def constants(self) -> Iterator[Value]:
        """Iterate over the constants that this graph reads."""
        return (v for v in self.values() if v.const is not None)

    def replace(self, old: Value, new: Value) -> None:
        """Let everything that reads `old` read `new`, subgraphs and graph outputs included.

        A graph output keeps its name: `new` takes it over.
        """
        for node in self.nodes:
            node.inputs = [new if v is old else v for v in node.inputs]
            for sub in node.subgraphs():
                sub.replace(old, new)
        if any(v is old for v in self.outputs):
            free = new.producer in self.nodes and not any(v is new for v in self.outputs)
            if free:
                old.name, new.name = new.name, old.name
                self.outputs = [new if v is old else v for v in self.outputs]
            else:  # an input, a constant, an outer value, or an output already: its name stays
                self.nodes.append(Node("Identity", [new], [old], name=f"identity_{old.name}"))

    def prune(self) -> None:
        """Drop the nodes whose results nobody reads, and order the rest as `sort` does.

        Depth first, from each output.
        """
        self.nodes = WALKS.order(self.nodes, [v.producer for v in self.outputs])

    def sort(self) -> None:
        """Order the nodes so that each comes after what it reads.

        Raises
        ------
        ValueError
            When the nodes form a cycle.
        """
        self.nodes = WALKS.order(self.nodes, self.nodes)

    def fresh(self, stem: str) -> str:
        """Return a name, made from `stem`, that no value or node of this graph has."""
        taken = {v.name for v in self.values()} | {n.name for n in self.nodes}
        return next(name for name in _candidates(stem) if name not in taken)


WALKS = _core.GraphWalks(Node, Value)
"""What every pass needs, natively: who reads what, and an order to run in."""

SURVEYOR = _core.GraphSurvey(Node, Value)
"""See `survey.survey`."""


def _candidates(stem: str) -> Iterator[str]:
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1


def captures(graph: Graph) -> Iterator[Value]:
    """Iterate over the values that a subgraph reads from the graphs around it.

    Constants are not captures: whichever graph reads one owns it.
    """
    local = set(graph.inputs) | {v for n in graph.nodes for v in n.outputs}
    for value in dict.fromkeys([*(v for n in graph.nodes for v in n.reads()), *graph.outputs]):
        if value not in local and value.const is None:
            yield value


class _Copier:
    """Copies values and nodes once each, so that shared ones stay shared."""

    def __init__(self) -> None:
        self.seen: dict[Value, Value] = {}

    def value(self, value: Value) -> Value:
        if value not in self.seen:
            self.seen[value] = Value(value.name, value.dtype, value.shape, value.const)
        return self.seen[value]

    def values(self, values: Iterable[Value]) -> list[Value]:
        return [self.value(v) for v in values]

    def graph(self, graph: Graph) -> Graph:
        inputs = self.values(graph.inputs)
        nodes = [
            Node(
                node.op,
                [None if v is None else self.value(v) for v in node.inputs],
                self.values(node.outputs),
                {k: self.graph(a) if isinstance(a, Graph) else a for k, a in node.attrs.items()},
                node.domain,
                node.name,
                dict(node.metadata),
            )
            for node in graph.nodes
        ]
        outputs = self.values(graph.outputs)
        opsets, metadata = dict(graph.opsets), dict(graph.metadata)
        return Graph(graph.name, inputs, outputs, nodes, graph.opset, opsets, metadata, graph.doc)
