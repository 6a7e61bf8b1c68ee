"""Graph -> standard ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    defs,
    helper,
    numpy_helper,
)

from pycompress.graph.expand import expand
from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Node, Value

_METADATA_IR_VERSION = 10  # the first whose nodes have metadata_props

_CODES: dict[str, int] = {
    **{
        name: getattr(TensorProto, name.upper())
        for name in [
            "int8",
            "uint8",
            "int16",
            "uint16",
            "int32",
            "uint32",
            "int64",
            "uint64",
            "bool",
            "float16",
            "bfloat16",
        ]
    },
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "object": TensorProto.STRING,
    **{
        name: getattr(TensorProto, code)
        for name, code in {
            "float8_e4m3fn": "FLOAT8E4M3FN",
            "float8_e4m3fnuz": "FLOAT8E4M3FNUZ",
            "float8_e5m2": "FLOAT8E5M2",
            "float8_e5m2fnuz": "FLOAT8E5M2FNUZ",
            "float8_e8m0fnu": "FLOAT8E8M0",
            "float4_e2m1fn": "FLOAT4E2M1",
            "int4": "INT4",
            "uint4": "UINT4",
            "int2": "INT2",
            "uint2": "UINT2",
        }.items()
        if hasattr(TensorProto, code)
    },
}
_PACKED = {"object", "float4_e2m1fn", "int4", "uint4", "int2", "uint2"}
"""NumPy holds them otherwise than the file does."""


def export(graph: Graph) -> ModelProto:
    """Write a graph as a standard ONNX model.

    Returns
    -------
    ModelProto
        Of the standard operators (and those of the domains that the model came with); preset nodes
        are expanded.
    """
    return Exporter(embed).model(expand(graph))


def embed(tensor: TensorProto, array: np.ndarray) -> None:
    """Put an array into the tensor itself."""
    tensor.raw_data = array.tobytes()  # little-endian on every machine that we build for


def all_constants(graph: Graph) -> list[Value]:
    """Return the constants of a graph and its subgraphs, each once."""
    found = dict.fromkeys([*graph.constants()])
    for node in graph.nodes:
        for sub in node.subgraphs():
            found.update(dict.fromkeys(all_constants(sub)))
    return list(found)


class Exporter:
    """Turns graphs of standard operators into protobuf; `store` puts an array into its tensor."""

    def __init__(self, store: Callable[[TensorProto, np.ndarray], None]) -> None:
        self.store = store

    def model(self, graph: Graph) -> ModelProto:
        """Return a whole model."""
        used = {n.domain for n in _all_nodes(graph)}
        opsets = {"": graph.opset, **{d: v for d, v in graph.opsets.items() if d in used}}
        imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        version = helper.find_min_ir_version_for(imports, ignore_unknown=True)
        if any(n.metadata for n in _all_nodes(graph)):
            version = max(version, _METADATA_IR_VERSION)
        proto = ModelProto(ir_version=version, producer_name="pycompress", opset_import=imports)
        proto.graph.CopyFrom(self._graph(graph))
        # Every constant belongs to the outermost graph: the graphs inside see it there.
        for value in all_constants(graph):
            proto.graph.initializer.append(self._tensor(value.name, value.array()))
        for key, text in graph.metadata.items():
            proto.metadata_props.add(key=key, value=text)
        return proto

    def _graph(self, graph: Graph) -> GraphProto:
        return GraphProto(
            name=graph.name or "graph",
            doc_string=graph.doc,
            input=[_info(v) for v in graph.inputs],
            output=[_info(v) for v in graph.outputs],
            node=[self._node(n) for n in graph.nodes],
        )

    def _node(self, node: Node) -> NodeProto:
        inputs = ["" if v is None else v.name for v in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        proto = NodeProto(
            op_type=node.op,
            domain=node.domain,
            name=node.name,
            input=inputs,
            output=[v.name for v in node.outputs],
            attribute=[self._attribute(node, k, a) for k, a in node.attrs.items()],
        )
        for key, text in node.metadata.items():
            proto.metadata_props.add(key=key, value=text)
        return proto

    def _attribute(self, node: Node, name: str, value: Any) -> AttributeProto:  # noqa: ANN401
        if isinstance(value, Graph):
            return AttributeProto(name=name, type=AttributeProto.GRAPH, g=self._graph(value))
        if isinstance(value, np.ndarray):
            tensor = self._tensor("", value)
            return AttributeProto(name=name, type=AttributeProto.TENSOR, t=tensor)
        if isinstance(value, list) and not value:
            proto = AttributeProto(name=name)
            schema = defs.get_schema(node.op, domain=node.domain)
            proto.type = getattr(AttributeProto, str(schema.attributes[name].type).split(".")[-1])
            return proto
        return helper.make_attribute(name, value)

    def _tensor(self, name: str, array: np.ndarray) -> TensorProto:
        if array.dtype.name in _PACKED:
            return numpy_helper.from_array(array, name)
        proto = TensorProto(name=name, data_type=_CODES[array.dtype.name], dims=array.shape)
        self.store(proto, array)
        return proto


def _all_nodes(graph: Graph) -> list[Node]:
    nested = [n for node in graph.nodes for sub in node.subgraphs() for n in _all_nodes(sub)]
    return [*graph.nodes, *nested]


def _info(value: Value) -> ValueInfoProto:
    info = ValueInfoProto(name=value.name)
    if value.dtype is not None:
        info.type.tensor_type.elem_type = _CODES[value.dtype.name]
        if value.shape is not None:
            shape = info.type.tensor_type.shape
            for dim in value.shape:
                if isinstance(dim, str):
                    shape.dim.add(dim_param=dim)
                elif dim is None:
                    shape.dim.add()
                else:
                    shape.dim.add(dim_value=dim)
            shape.SetInParent()
    return info
