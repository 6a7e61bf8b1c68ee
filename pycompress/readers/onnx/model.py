"""From whatever holds a model to its ModelProto, and from there to a graph."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto

from pycompress.graph.shapes import Shapes
from pycompress.graph.types import OPS, infer_type
from pycompress.readers.errors import ModelError
from pycompress.readers.onnx.build import build
from pycompress.readers.onnx.infer import with_types
from pycompress.readers.onnx.messages import parse
from pycompress.readers.onnx.tensors import Tensors
from pycompress.readers.onnx.upgrade import CANONICAL, upgrade
from pycompress.readers.onnx.wire import without_big_tensors

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node
    from pycompress.readers.onnx.messages import Model

_KNOWN = OPS | {"Constant"}

OPSETS = range(6, 29)
"""Versions of the standard operators that can be read."""


def read_onnx(model: str | os.PathLike[str] | bytes | bytearray | memoryview | ModelProto) -> Graph:
    """Read a model; see `pycompress.readers.read`."""
    if isinstance(model, ModelProto):
        return _parse(memoryview(_serialized(model)), None, "the model")
    if isinstance(model, bytes | bytearray | memoryview):
        return _parse(memoryview(model), None, "the model")
    if not isinstance(model, str | os.PathLike):
        msg = f"a model is a path, bytes or a ModelProto, not {type(model).__name__}"
        raise TypeError(msg)
    with open(model, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path's
        empty = os.fstat(file.fileno()).st_size == 0  # which cannot be mapped
        buffer = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _parse(buffer, Path(model).parent, f"'{model}'")


def _serialized(model: ModelProto) -> bytes:
    try:
        serialized: bytes = model.SerializeToString()
    except (EncodeError, ValueError) as error:
        how = "save it with external data and read it from its path"
        msg = f"a ModelProto beyond 2 GB cannot be read; {how}: {error}"
        raise ModelError(msg) from None
    return serialized


def _parse(buffer: memoryview, folder: Path | None, what: str) -> Graph:
    try:
        if not len(buffer):
            msg = "the file is empty"
            raise ModelError(msg)
        return _to_graph(np.frombuffer(buffer, np.uint8), folder)
    except (DecodeError, UnicodeDecodeError) as error:  # the second: protobuf's Python form
        msg = f"{what} is not an ONNX model: {error}"
        raise ModelError(msg) from None
    except ModelError as error:
        msg = f"{what} cannot be read: {error}"
        raise ModelError(msg) from None


def _to_graph(file: np.ndarray, folder: Path | None) -> Graph:
    message = file
    model = parse(message)
    if model.functions and model.graph is not None:
        message = _bytes(_inline(_proto(file)))
        model = parse(message)
    if model.graph is None:
        msg = "not an ONNX model: it has no graph"
        raise ModelError(msg)
    opsets = {_domain(o.domain): o.version or 0 for o in model.opsets}
    if opsets and "" not in opsets and all(_domain(n.domain) for n in model.graph.nodes):
        opsets[""] = CANONICAL  # it has operators of other domains only
    if opsets.get("") not in OPSETS:
        found = f"opset {opsets['']}" if "" in opsets else "no opset of the standard operators"
        wanted = f"opsets {OPSETS.start} to {OPSETS.stop - 1} can be read"
        msg = f"the model is written in {found}; {wanted}"
        raise ModelError(msg)
    graph = None
    if all(n.op in _KNOWN and not _domain(n.domain) for n in model.graph.nodes):
        graph = _read_alone(model, opsets, Tensors(message, file, folder))
    if graph is None:
        message = _bytes(with_types(_proto(message)))
        graph = build(parse(message), opsets, Tensors(message, file, folder))
        _settle(graph)
    return graph


def _domain(name: str | None) -> str:
    return "" if name is None or name == "ai.onnx" else name


def _proto(message: np.ndarray) -> ModelProto:
    """Return the message for onnx to work on; its big tensors stay where they are."""
    proto = ModelProto()
    proto.ParseFromString(without_big_tensors(message.data))
    return proto


def _bytes(proto: ModelProto) -> np.ndarray:
    return np.frombuffer(proto.SerializeToString(), np.uint8)


def _read_alone(model: Model, opsets: dict[str, int], tensors: Tensors) -> Graph | None:
    """Return the graph with types and shapes worked out here; None where a rule is missing.

    Most models need no more. Asking onnx costs as much again: the message goes there and back as
    bytes.
    """
    graph = build(model, opsets, tensors)
    try:
        return graph if _settle(graph) else None
    except ModelError:  # an old form that takes a rank to bring to a new one
        return None


def _settle(graph: Graph) -> bool:
    """Bring the nodes to their form of today, and work out element types and shapes as they go.

    Returns
    -------
    bool
        Whether all that is not known of a node follows from what is not known of its inputs.
    """
    shapes = Shapes()
    puzzles: list[Node] = []

    def settle(node: Node) -> None:
        if shapes.settle(node):
            return
        infer_type(node)
        shapes.visit(node)
        if not shapes.is_explained(node):
            puzzles.append(node)
            return
        for value in node.outputs:
            if value.dtype is None:
                puzzles.append(node)
                return

    shapes.begin(graph)
    upgrade(graph, settle)
    shapes.end(graph)
    graph.known = shapes
    return not puzzles


def _inline(proto: ModelProto) -> ModelProto:
    """Replace calls of the model's own functions by their bodies."""
    from onnx import inliner

    try:
        return inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        msg = f"the model's functions cannot be inlined: {error}"
        raise ModelError(msg) from None
