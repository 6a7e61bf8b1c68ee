"""ModelProto -> Graph: names become edges, and wrong names become errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import AttributeProto, defs

from pycompress.graph.ir import Graph, Node, Value
from pycompress.readers.errors import ModelError
from pycompress.readers.onnx.tensors import DTYPES, dtype_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from pycompress.graph.ir import Dim, Shape
    from pycompress.readers.onnx.tensors import Tensors

_LARGEST_DIM = 1 << 40


def build(proto: ModelProto, opsets: dict[str, int], tensors: Tensors) -> Graph:
    """Turn a parsed model into a graph, still in the operators' versions that the file uses.

    Raises
    ------
    ModelError
        When names are defined twice or never, nodes form a cycle, an operator is unknown, or a
        tensor is malformed.
    """
    others = {domain: version for domain, version in opsets.items() if domain}
    graph = _Builder(opsets[""], others, tensors).graph(proto.graph, {})
    graph.metadata = {p.key: p.value for p in proto.metadata_props}
    return graph


class _Builder:
    def __init__(self, opset: int, opsets: dict[str, int], tensors: Tensors) -> None:
        self.opset, self.opsets, self.tensors = opset, opsets, tensors
        self.taken: set[str] = set()  # names of values, over all graphs

    def graph(self, proto: GraphProto, outer: dict[str, Value]) -> Graph:
        """Build one graph; `outer` holds what the graphs around it define."""
        if proto.sparse_initializer:
            msg = f"graph '{proto.name}' has sparse initializers, which are not supported"
            raise ModelError(msg)
        infos = [*proto.value_info, *proto.output, *proto.input]
        types = {v.name: v for v in infos}
        constants = {t.name: t for t in proto.initializer}
        _check_text(*constants, *types, proto.name)
        local: dict[str, Value] = {}
        if len(constants) != len(proto.initializer):
            msg = f"graph '{proto.name}' has two initializers of one name"
            raise ModelError(msg)
        for name, tensor in constants.items():
            array = self.tensors.array(tensor, f"initializer '{name}'")
            self._define(local, name, Value(name, array.dtype, array.shape, array))
        # Before IR version 4 every initializer was listed as an input too.
        inputs = [self._typed(local, v.name, types) for v in proto.input if v.name not in constants]
        wired = []
        for node in proto.node:
            op, domain = node.op_type, node.domain
            _check_text(op, domain, node.name, *node.input, *node.output)
            if op == "Constant" and domain in {"", "ai.onnx"}:
                array = self._constant(node)
                name = node.output[0]
                self._define(local, name, Value(name, array.dtype, array.shape, array))
            else:
                outputs = [
                    self._typed(local, n, types) if n else self._unused() for n in node.output
                ]
                wired.append((node, outputs))
        scope = {**outer, **local}
        nodes = [self._node(node, outputs, scope) for node, outputs in wired]
        outputs = [_look_up(scope, v.name, f"graph '{proto.name}' returns") for v in proto.output]
        graph = Graph(
            proto.name, inputs, outputs, nodes, self.opset, dict(self.opsets), doc=proto.doc_string
        )
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

    def _typed(self, local: dict[str, Value], name: str, types: dict[str, ValueInfoProto]) -> Value:
        dtype, shape = _type(types[name]) if name in types else (None, None)
        return self._define(local, name, Value(name, dtype, shape))

    def _unused(self) -> Value:
        """Return a value for an output that the model leaves out."""
        name = f"unused_{len(self.taken)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return Value(name)

    def _node(self, proto: NodeProto, outputs: list[Value], scope: dict[str, Value]) -> Node:
        op, domain, name = proto.op_type, proto.domain, proto.name
        domain = "" if domain == "ai.onnx" else domain
        read = proto.input
        try:
            inputs = [scope[v] if v else None for v in read]
        except KeyError:
            inputs = [_look_up(scope, v, f"{_what(proto)} reads") if v else None for v in read]
        attrs = {a.name: self._attribute(a, scope, proto) for a in proto.attribute}
        if attrs:
            _check_text(*attrs)
        if domain == "":
            _check_arity(proto, len(inputs), len(outputs), attrs, self.opset)
        metadata = {
            p.key: p.value for p in getattr(proto, "metadata_props", ())
        }  # onnx before 1.16: none
        return Node(op, inputs, outputs, attrs, domain, name, metadata)

    def _attribute(self, proto: AttributeProto, scope: dict[str, Value], node: NodeProto) -> Any:  # noqa: ANN401
        plain = _PLAIN_ATTRIBUTES.get(proto.type)
        if plain is not None:
            return plain(proto)
        if proto.type == AttributeProto.TENSOR:
            return self.tensors.array(proto.t, f"{_what(node)}: attribute '{proto.name}'")
        if proto.type == AttributeProto.GRAPH:
            return self.graph(proto.g, scope)
        kind = AttributeProto.AttributeType.Name(proto.type)
        msg = f"{_what(node)}: attribute '{proto.name}' is of the unsupported kind {kind}"
        raise ModelError(msg)

    def _constant(self, proto: NodeProto) -> np.ndarray:
        what = f"constant '{proto.output[0]}'"
        if len(proto.attribute) != 1:
            msg = f"{what} has {len(proto.attribute)} attributes; it needs one, its value"
            raise ModelError(msg)
        (attribute,) = proto.attribute
        match attribute.name:
            case "value" if attribute.type == AttributeProto.TENSOR:
                return self.tensors.array(attribute.t, what)
            case "value_float":
                return np.array(attribute.f, np.float32)
            case "value_floats":
                return np.array(attribute.floats, np.float32)
            case "value_int":
                return np.array(attribute.i, np.int64)
            case "value_ints":
                return np.array(attribute.ints, np.int64)
        msg = f"{what} is of the unsupported kind '{attribute.name}'"
        raise ModelError(msg)


def _check_text(*names: str | bytes) -> None:
    """Refuse names that are no UTF-8: protobuf hands them out as bytes."""
    for name in names:
        if isinstance(name, bytes):
            msg = f"a name is not text: {name[:40]!r}"
            raise ModelError(msg)


def _look_up(scope: dict[str, Value], name: str, what: str) -> Value:
    if name not in scope:
        msg = f"{what} '{name}', which nothing defines"
        raise ModelError(msg)
    return scope[name]


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


_PLAIN_ATTRIBUTES: dict[int, Callable[[AttributeProto], Any]] = {
    AttributeProto.INT: lambda proto: proto.i,
    AttributeProto.FLOAT: lambda proto: proto.f,
    AttributeProto.STRING: lambda proto: _text(proto.s),
    AttributeProto.INTS: lambda proto: list(proto.ints),
    AttributeProto.FLOATS: lambda proto: list(proto.floats),
    AttributeProto.STRINGS: lambda proto: [_text(s) for s in proto.strings],
}
"""What reads an attribute that holds no tensor and no graph."""


def _what(proto: NodeProto) -> str:
    """Return what errors call a node."""
    name = proto.name or (proto.output[0] if proto.output else "")
    return f"node '{name}' ({proto.op_type})"


def _type(info: ValueInfoProto) -> tuple[np.dtype[Any] | None, Shape | None]:
    kind = info.type
    if not kind.HasField("tensor_type"):  # a sequence, an optional: nothing that we look into
        return None, None
    tensor = kind.tensor_type
    code = tensor.elem_type
    dtype = DTYPES.get(code)
    if dtype is None and code:
        dtype = dtype_of(code, f"value '{info.name}'")
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple([_dim(d, info) for d in tensor.shape.dim])


def _dim(dim: Any, info: ValueInfoProto) -> Dim:  # noqa: ANN401
    size = dim.dim_value
    if 0 < size <= _LARGEST_DIM:
        return int(size)
    if dim.HasField("dim_value"):
        if not -1 <= size <= _LARGEST_DIM:
            msg = f"value '{info.name}' has a dimension of {size}"
            raise ModelError(msg)
        return None if size < 0 else 0  # some exporters write -1 for "any"
    symbol = dim.dim_param
    _check_text(symbol)
    return None if symbol.startswith(("?", "-")) or not symbol else str(symbol)  # others write "?"


def _check_order(graph: Graph) -> None:
    """Put the nodes in an order in which they can run, when they are not in one.

    All nodes count, those that nobody reads included: a cycle is an error wherever it is.
    """
    pending = {v for n in graph.nodes for v in n.outputs}
    for node in graph.nodes:
        if any(v in pending for v in node.reads()):
            break
        pending.difference_update(node.outputs)
    else:
        return
    try:
        graph.sort()
    except ValueError as error:
        raise ModelError(str(error)) from None


def _check_arity(
    proto: NodeProto, inputs: int, outputs: int, attrs: Iterable[str], opset: int
) -> None:
    limits = _schema(proto.op_type, opset)
    if limits is None:
        msg = f"{_what(proto)}: opset {opset} has no operator '{proto.op_type}'"
        raise ModelError(msg)
    least_in, most_in, most_out, required = limits
    if not least_in <= inputs <= most_in:
        wanted = f"{least_in}" if least_in == most_in else f"{least_in} to {most_in}"
        msg = f"{_what(proto)} has {inputs} inputs; '{proto.op_type}' takes {wanted}"
        raise ModelError(msg)
    if not 1 <= outputs <= most_out:
        msg = f"{_what(proto)} has {outputs} outputs; '{proto.op_type}' makes 1 to {most_out}"
        raise ModelError(msg)
    missing = required.difference(attrs) if required else ()
    if missing:
        msg = f"{_what(proto)} lacks the attribute '{min(missing)}'"
        raise ModelError(msg)


@lru_cache(maxsize=1024)
def _schema(op: str, opset: int) -> tuple[int, int, int, frozenset[str]] | None:
    try:
        schema = defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None
    if schema.deprecated:
        return None
    required: Iterable[str] = (k for k, a in schema.attributes.items() if a.required)
    return schema.min_input, schema.max_input, schema.max_output, frozenset(required)
