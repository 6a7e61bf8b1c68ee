"""Graph -> standard ONNX, in memory or in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
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
)

from pycompress.graph.expand import expand
from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Node, Value

_LARGEST_PROTOBUF = 2**31 - 2**20
_METADATA_IR_VERSION = 10  # the first whose nodes have metadata_props
_EXTERNAL = 1024  # bytes from which a tensor goes to the data file, when there is one

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
}


def export(graph: Graph) -> ModelProto:
    """Write a graph as a standard ONNX model.

    Returns
    -------
    ModelProto
        Of the standard operators (and those of the domains that the model came with); preset nodes
        are expanded.
    """
    return _Exporter(_embed).model(expand(graph))


def save(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    limit: int = _LARGEST_PROTOBUF,
) -> int:
    """Write a graph to a file as standard ONNX; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        Constants beyond `limit` bytes in all go to a second file, ``<path>.data``.
    source : path, optional
        The file that the graph was read from, which must not be overwritten: its constants are
        still being read.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        When `path` is `source`.
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    if source is not None and path.exists() and path.samefile(source):
        msg = f"'{path}' is the model that is being read; write to another file"
        raise ValueError(msg)
    standard = expand(graph)
    data_path = path.with_name(path.name + ".data")
    if sum(v.array().nbytes for v in _constants(standard)) < limit:
        model = _Exporter(_embed).model(standard).SerializeToString()
        _write(path, lambda file: file.write(model))
        return len(model)
    offset = 0

    def append(file: Any, tensor: TensorProto, array: np.ndarray) -> None:  # noqa: ANN401
        nonlocal offset
        if array.nbytes < _EXTERNAL:
            _embed(tensor, array)
            return
        offset += file.write(b"\0" * (-offset % 4096))  # pages, so that the data can be mapped
        tensor.data_location = TensorProto.EXTERNAL
        entries = (("location", data_path.name), ("offset", offset), ("length", array.nbytes))
        for key, value in entries:
            tensor.external_data.add(key=key, value=str(value))
        offset += file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def fill(file: Any) -> None:  # noqa: ANN401
        proto = _Exporter(lambda tensor, array: append(file, tensor, array)).model(standard)
        nonlocal model
        model = proto.SerializeToString()

    model = b""
    _write(data_path, fill)
    _write(path, lambda file: file.write(model))
    return len(model) + offset


def _write(path: Path, fill: Callable[[Any], object]) -> None:
    """Write beside the file and rename."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _embed(tensor: TensorProto, array: np.ndarray) -> None:
    tensor.raw_data = array.tobytes()  # little-endian on every machine that we build for


def _constants(graph: Graph) -> list[Value]:
    """Return the constants of a graph and its subgraphs, each once."""
    found = dict.fromkeys([*graph.constants()])
    for node in graph.nodes:
        for sub in node.subgraphs():
            found.update(dict.fromkeys(_constants(sub)))
    return list(found)


class _Exporter:
    def __init__(self, store: Callable[[TensorProto, np.ndarray], None]) -> None:
        self.store = store

    def model(self, graph: Graph) -> ModelProto:
        used = {n.domain for n in _all_nodes(graph)}
        opsets = {"": graph.opset, **{d: v for d, v in graph.opsets.items() if d in used}}
        imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        version = helper.find_min_ir_version_for(imports, ignore_unknown=True)
        if any(n.metadata for n in _all_nodes(graph)):
            version = max(version, _METADATA_IR_VERSION)
        proto = ModelProto(ir_version=version, producer_name="pycompress", opset_import=imports)
        proto.graph.CopyFrom(self.graph(graph))
        # Every constant belongs to the outermost graph: the graphs inside see it there.
        for value in _constants(graph):
            proto.graph.initializer.append(self.tensor(value.name, value.array()))
        for key, text in graph.metadata.items():
            proto.metadata_props.add(key=key, value=text)
        return proto

    def graph(self, graph: Graph) -> GraphProto:
        return GraphProto(
            name=graph.name or "graph",
            doc_string=graph.doc,
            input=[_info(v) for v in graph.inputs],
            output=[_info(v) for v in graph.outputs],
            node=[self.node(n) for n in graph.nodes],
        )

    def node(self, node: Node) -> NodeProto:
        inputs = ["" if v is None else v.name for v in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        proto = NodeProto(
            op_type=node.op,
            domain=node.domain,
            name=node.name,
            input=inputs,
            output=[v.name for v in node.outputs],
            attribute=[self.attribute(node, k, a) for k, a in node.attrs.items()],
        )
        for key, text in node.metadata.items():
            proto.metadata_props.add(key=key, value=text)
        return proto

    def attribute(self, node: Node, name: str, value: Any) -> AttributeProto:  # noqa: ANN401
        if isinstance(value, Graph):
            return AttributeProto(name=name, type=AttributeProto.GRAPH, g=self.graph(value))
        if isinstance(value, np.ndarray):
            tensor = self.tensor("", value)
            return AttributeProto(name=name, type=AttributeProto.TENSOR, t=tensor)
        if isinstance(value, list) and not value:
            proto = AttributeProto(name=name)
            schema = defs.get_schema(node.op, domain=node.domain)
            proto.type = getattr(AttributeProto, str(schema.attributes[name].type).split(".")[-1])
            return proto
        return helper.make_attribute(name, value)

    def tensor(self, name: str, array: np.ndarray) -> TensorProto:
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
