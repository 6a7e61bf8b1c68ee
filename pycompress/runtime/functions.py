"""Operators that the standard defines as functions of others, written out where no kernel is.

ONNX gives some operators (Attention, RMSNormalization, SoftmaxCrossEntropyLoss, CastLike ...) a
body of simpler operators. A node that the engine has no kernel for is replaced by that body, so
that it runs natively; for a node that the engine has a kernel for nothing changes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pycompress.graph.ir import Graph, Node, Value
from pycompress.graph.names import Names
from pycompress.graph.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnx import FunctionProto, ModelProto

    from pycompress.graph.ir import Shape

_DOMAIN = "pycompress.function"
_AS_THEY_ARE = {"Bernoulli", "Range", "SequenceMap"}
"""Operators whose body gains nothing: a Loop, or another source of random numbers."""


def write_out(graph: Graph, refusal: Callable[[Node], str | None]) -> Graph:
    """Return `graph`, changed: what `refusal` has a reason for becomes its body, if it has one.

    Parameters
    ----------
    graph : Graph
        With the element types that are known filled in.
    refusal : tells why the engine cannot run a node, or None
    """
    ops = [op for op in survey(graph.nodes).ops if _has_body(op, graph.opset)]
    if any(n.op in ops and n.domain == "" and refusal(n) is not None for n in graph.nodes):
        graph.nodes = _Writer(graph, refusal).nodes(graph.nodes, graph.opset)
    return graph


class _Writer:
    def __init__(self, graph: Graph, refusal: Callable[[Node], str | None]) -> None:
        self.names, self.refusal = Names(graph), refusal

    def nodes(self, nodes: list[Node], opset: int) -> list[Node]:
        """Return the nodes with bodies in place of those that need it."""
        result: list[Node] = []
        for node in nodes:
            body = None
            is_function = node.domain == "" and _has_body(node.op, opset)
            if is_function and self.refusal(node) is not None:
                body = _body(node, opset)
            result += [node] if body is None else self.spliced(node, body)
        return result

    def spliced(self, node: Node, body: Graph) -> list[Node]:
        """Return the nodes of a body, between the node's own inputs and outputs."""
        outer = dict(zip([v.name for v in body.inputs], _given(node), strict=True))
        values: dict[Value, Value] = {v: outer[v.name] for v in body.inputs}
        after: list[Node] = []
        known = {d for v in _given(node) for d in v.shape or () if isinstance(d, str)}
        for value, result in zip(node.outputs, body.outputs, strict=True):
            if value.dtype is None:
                value.dtype = result.dtype
            if value.shape is None:
                value.shape = _without_names(result.shape, known)
            if result in values or result.const is not None:
                after.append(Node("Identity", [result], [value], name=self.names.fresh(node.op)))
            else:
                values[result] = value

        def here(value: Value) -> Value:
            if value not in values:
                value.name = self.names.fresh(value.name)
                value.shape = _without_names(value.shape, known)
                values[value] = value
            return values[value]

        for inner in [*body.nodes, *after]:
            inner.name = self.names.fresh(f"{node.name or node.output.name}_{inner.op}")
            inner.inputs = [None if v is None else here(v) for v in inner.inputs]
            for sub in inner.subgraphs():
                for old, new in values.items():
                    if old is not new:
                        sub.replace(old, new)
            inner.outputs = [v if v in node.outputs else here(v) for v in inner.outputs]
            for value in inner.outputs:
                value.producer = inner
        return self.nodes([*body.nodes, *after], body.opset)


def _without_names(shape: Shape | None, known: set[str]) -> Shape | None:
    """Return a shape without the names that inference made up: each body has an ``unk__0``."""
    if shape is None:
        return None
    return tuple(None if isinstance(d, str) and d not in known else d for d in shape)


def _given(node: Node) -> list[Value]:
    return list(dict.fromkeys(v for v in node.inputs if v is not None))


@lru_cache(maxsize=1024)
def _schema(op: str, opset: int) -> Any:  # noqa: ANN401 - onnx's stubs lack half of OpSchema
    """Return the schema of a function, or None."""
    from onnx import defs

    try:
        schema: Any = defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _has_body(op: str, opset: int) -> bool:
    return op not in _AS_THEY_ARE and _schema(op, opset) is not None


def _body(node: Node, opset: int) -> Graph | None:
    """Return the body as a graph of opset 18 or later; None where the standard gives none."""
    from onnx import helper

    from pycompress.graph import export
    from pycompress.readers import read

    schema = _schema(node.op, opset)
    if schema is None or any(v.dtype is None for v in _given(node)):
        return None
    inputs = _given(node)
    # As inputs, not constants: a body is looked at, not computed.
    plain = {v: Value(v.name, v.dtype, v.shape) for v in inputs}
    outputs = [Value(v.name, v.dtype, v.shape) for v in node.outputs]
    call = Node(
        node.op, [None if v is None else plain[v] for v in node.inputs], outputs, dict(node.attrs)
    )
    model = export(Graph(node.op, list(plain.values()), outputs, [call], opset))
    function = _function(schema, model, opset)
    if function is None:
        return None
    proto = model.graph.node[0]
    present = {a.name for a in proto.attribute}
    for name, attribute in schema.attributes.items():
        if name not in present and attribute.default_value.name:
            proto.attribute.add().CopyFrom(attribute.default_value)
    proto.domain = function.domain = _DOMAIN
    function.name = node.op
    del function.attribute[:]
    function.attribute.extend(schema.attributes)
    imports = {o.domain: o.version for o in function.opset_import}
    del function.opset_import[:]
    function.opset_import.append(helper.make_opsetid("", imports.get("", opset)))
    del model.opset_import[:]
    model.opset_import.extend(
        [helper.make_opsetid("", imports.get("", opset)), helper.make_opsetid(_DOMAIN, 1)]
    )
    model.functions.append(function)
    return read(model)


def _function(schema: Any, model: ModelProto, opset: int) -> FunctionProto | None:  # noqa: ANN401
    from onnx import FunctionProto, TypeProto

    def version(known: Sequence[int]) -> int:
        return max([v for v in known if v <= opset], default=min(known))

    if schema.has_function:
        raw = schema.get_function_with_opset_version(version(schema.function_opset_versions))
    else:
        (call,) = model.graph.node
        types = {i.name: i.type for i in model.graph.input}
        given = [types.get(name, TypeProto()).SerializeToString() for name in call.input]
        best = version(schema.context_dependent_function_opset_versions)
        raw = schema.get_context_dependent_function_with_opset_version(
            best, call.SerializeToString(), given
        )
    return FunctionProto.FromString(raw) if raw else None
