"""ModelProto -> Graph: names become edges, and wrong names become errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import AttributeProto, defs

from pycompress import _core
from pycompress.graph.ir import WALKS, Graph, Node, Value
from pycompress.readers.errors import ModelError
from pycompress.readers.onnx.attributes import check_attributes
from pycompress.readers.onnx.tensors import DTYPES, PLAIN, dtype_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.graph.ir import Dim, Shape
    from pycompress.readers.onnx import messages
    from pycompress.readers.onnx.tensors import Tensors

_LARGEST_DIM = 1 << 40

Limits: TypeAlias = tuple[int, int, int, frozenset[str]]


def build(message: messages.Model, opsets: dict[str, int], tensors: Tensors) -> Graph:
    """Turn a parsed model into a graph, still in the operators' versions that the file uses.

    Raises
    ------
    ModelError
        When names are defined twice or never, nodes form a cycle, an operator is unknown, or a
        tensor or an attribute is malformed.
    """
    others = {domain: version for domain, version in opsets.items() if domain}
    assert message.graph is not None
    graph = _Builder(opsets[""], others, tensors).graph(message.graph, {})
    graph.metadata = {p.key or "": p.value or "" for p in message.metadata}
    check_attributes(graph)
    return graph


class _Builder:
    def __init__(self, opset: int, opsets: dict[str, int], tensors: Tensors) -> None:
        self.opset, self.opsets, self.tensors = opset, opsets, tensors
        self.taken: set[str] = set()  # names of values, over all graphs

    def graph(self, message: messages.Graph, outer: dict[str, Value]) -> Graph:
        """Build one graph; `outer` holds what the graphs around it define."""
        title = message.name or ""
        if message.sparse:
            msg = f"graph '{title}' has sparse initializers, which are not supported"
            raise ModelError(msg)
        infos = [*message.values, *message.outputs, *message.inputs]
        types = {v.name or "": v for v in infos}
        constants = {t.name or "" for t in message.initializers}
        local: dict[str, Value] = {}
        if len(constants) != len(message.initializers):
            msg = f"graph '{title}' has two initializers of one name"
            raise ModelError(msg)
        native, bytes_ = _native(self.opset), self.tensors.message
        native.take(message.initializers, bytes_, local, self.taken, self)
        # Before IR version 4 every initializer was listed as an input too.
        names = [v.name or "" for v in message.inputs]
        inputs = [self.typed(local, name, types) for name in names if name not in constants]
        nodes = native.wire(message.nodes, bytes_, types, local, outer, self.taken, self)
        scope = {**outer, **local}
        returns = f"graph '{title}' returns"
        outputs = [_look_up(scope, v.name or "", returns) for v in message.outputs]
        doc = message.doc if isinstance(message.doc, str) else ""
        graph = Graph(title, inputs, outputs, nodes, self.opset, dict(self.opsets), doc=doc)
        _check_order(graph)
        return graph

    def _define(self, local: dict[str, Value], name: str, value: Value) -> Value:
        if name in local:
            msg = f"value '{name}' is defined twice"
            raise ModelError(msg)
        if (
            name in self.taken
        ):  # legal in the other branch of an If; here names are unique in the whole model
            value.name = next(
                n for i in range(len(self.taken) + 1) if (n := f"{name}_{i}") not in self.taken
            )
        self.taken.add(value.name)
        local[name] = value
        return value

    def initializer(self, local: dict[str, Value], tensor: messages.Tensor) -> None:
        """Take in a constant whose bytes are not just its elements."""
        name = tensor.name or ""
        array = self.tensors.array(tensor, "initializer", name)
        self._define(local, name, Value(name, array.dtype, array.shape, array))

    def typed(
        self, local: dict[str, Value], name: str, types: dict[str, messages.ValueInfo]
    ) -> Value:
        """Return a new value, with what the file says of its type and shape."""
        dtype, shape = _type(types[name]) if name in types else (None, None)
        return self._define(local, name, Value(name, dtype, shape))

    def unused(self) -> Value:
        """Return a value for an output that the model leaves out."""
        name = f"unused_{len(self.taken)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return Value(name)

    def node(self, message: messages.Node, outputs: list[Value], scope: dict[str, Value]) -> Node:
        """Return a node that is not quite plain, or the first of its operator."""
        op, domain, read = message.op or "", message.domain or "", message.inputs
        domain = "" if domain == "ai.onnx" else domain
        try:
            inputs = [scope[v] if v else None for v in read]
        except KeyError:
            reads = f"{_what(message)} reads"
            inputs = [_look_up(scope, v, reads) if v else None for v in read]
        attrs = {}
        for a in message.attributes:
            plain = _PLAIN_ATTRIBUTES.get(a.type or 0)
            attrs[a.name or ""] = plain(a) if plain else self._attribute(a, scope, message)
        if domain == "":
            _check_arity(message, len(inputs), len(outputs), attrs, self.opset)
        metadata = {p.key or "": p.value or "" for p in message.metadata or ()}
        return Node(op, inputs, outputs, attrs, domain, message.name or "", metadata)

    def _attribute(
        self, message: messages.Attribute, scope: dict[str, Value], node: messages.Node
    ) -> Any:  # noqa: ANN401
        kind = message.type or 0
        if kind == AttributeProto.TENSOR and message.t is not None:
            what = f"{_what(node)}: attribute"
            return self.tensors.array(message.t, what, message.name or "")
        if kind == AttributeProto.GRAPH and message.g is not None:
            return self.graph(message.g, scope)
        known = AttributeProto.AttributeType
        name = known.Name(kind) if kind in known.values() else f"type {kind}"
        msg = f"{_what(node)}: attribute '{message.name}' is of the unsupported kind {name}"
        raise ModelError(msg)

    def constant(self, message: messages.Node, local: dict[str, Value]) -> None:
        """Take in a node that is but a constant."""
        array = self._content(message)
        name = message.outputs[0]
        self._define(local, name, Value(name, array.dtype, array.shape, array))

    def _content(self, message: messages.Node) -> np.ndarray:
        name = message.outputs[0] if message.outputs else ""
        what = f"constant '{name}'"
        if len(message.attributes) != 1:
            msg = f"{what} has {len(message.attributes)} attributes; it needs one, its value"
            raise ModelError(msg)
        (attribute,) = message.attributes
        match attribute.name:
            case "value" if attribute.type == AttributeProto.TENSOR and attribute.t is not None:
                return self.tensors.array(attribute.t, "constant", name)
            case "value_float":
                return np.array(attribute.f or 0.0, np.float32)
            case "value_floats":
                return np.array(attribute.floats, np.float32)
            case "value_int":
                return np.array(attribute.i or 0, np.int64)
            case "value_ints":
                return np.array(attribute.ints, np.int64)
        msg = f"{what} is of the unsupported kind '{attribute.name}'"
        raise ModelError(msg)


def _look_up(scope: dict[str, Value], name: str, what: str) -> Value:
    if name not in scope:
        msg = f"{what} '{name}', which nothing defines"
        raise ModelError(msg)
    return scope[name]


_STANDARD = (None, "", "ai.onnx")
"""What a file calls the domain of the standard operators."""

_PLAIN_ATTRIBUTES: dict[int, Callable[[messages.Attribute], Any]] = {
    AttributeProto.INT: lambda message: message.i or 0,
    AttributeProto.FLOAT: lambda message: message.f or 0.0,
    AttributeProto.STRING: lambda message: message.s or "",
    AttributeProto.INTS: lambda message: list(message.ints),
    AttributeProto.FLOATS: lambda message: list(message.floats),
    AttributeProto.STRINGS: lambda message: list(message.strings),
}
"""What reads an attribute that holds no tensor and no graph."""


def _what(message: messages.Node) -> str:
    """Return what errors call a node."""
    name = message.name or (message.outputs[0] if message.outputs else "")
    return f"node '{name}' ({message.op})"


def _type(info: messages.ValueInfo) -> tuple[np.dtype[Any] | None, Shape | None]:
    if info.type is None or info.type.tensor is None:
        return None, None  # a sequence, an optional: nothing that we look into
    code, shape = info.type.tensor
    dtype = DTYPES.get(code or 0)
    if dtype is None and code:
        dtype = dtype_of(code, f"value '{info.name}'")
    if shape is None:
        return dtype, None
    return dtype, tuple([_dim(size, symbol, info) for size, symbol in shape.dims])


def _dim(size: int | None, symbol: str | None, info: messages.ValueInfo) -> Dim:
    if size is None:  # exporters write "?" for "any"
        return None if not symbol or symbol.startswith(("?", "-")) else symbol
    if not -1 <= size <= _LARGEST_DIM:
        msg = f"value '{info.name}' has a dimension of {size}"
        raise ModelError(msg)
    return None if size < 0 else size  # others write -1


def _check_order(graph: Graph) -> None:
    """Put the nodes in an order in which they can run, when they are not in one.

    All nodes count, those that nobody reads included: a cycle is an error wherever it is.
    """
    if WALKS.in_order(graph.nodes):
        return
    try:
        graph.sort()
    except ValueError as error:
        raise ModelError(str(error)) from None


def _check_arity(
    message: messages.Node, inputs: int, outputs: int, attrs: Iterable[str], opset: int
) -> None:
    op = message.op or ""
    limits = _limits(opset).get(op) or _schema(op, opset)
    if limits is None:
        msg = f"{_what(message)}: opset {opset} has no operator '{message.op}'"
        raise ModelError(msg)
    least_in, most_in, most_out, required = limits
    if not least_in <= inputs <= most_in:
        wanted = f"{least_in}" if least_in == most_in else f"{least_in} to {most_in}"
        msg = f"{_what(message)} has {inputs} inputs; '{message.op}' takes {wanted}"
        raise ModelError(msg)
    if not 1 <= outputs <= most_out:
        msg = f"{_what(message)} has {outputs} outputs; '{message.op}' makes 1 to {most_out}"
        raise ModelError(msg)
    missing = required.difference(attrs) if required else ()
    if missing:
        msg = f"{_what(message)} lacks the attribute '{min(missing)}'"
        raise ModelError(msg)
    _limits(opset)[op] = limits


@lru_cache(maxsize=32)
def _limits(opset: int) -> dict[str, Limits]:  # noqa: ARG001 - the key
    """Return what `_schema` said of the operators that were met so far."""
    return {}


@lru_cache(maxsize=32)
def _native(opset: int) -> _core.GraphReader:
    return _core.GraphReader(Node, Value, PLAIN, _limits(opset))


def _schema(op: str, opset: int) -> Limits | None:
    """Return how many inputs and outputs an operator has, and the attributes that it must have."""
    try:
        schema = defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None
    if schema.deprecated:
        return None
    required: Iterable[str] = (k for k, a in schema.attributes.items() if a.required)
    return schema.min_input, schema.max_input, schema.max_output, frozenset(required)
