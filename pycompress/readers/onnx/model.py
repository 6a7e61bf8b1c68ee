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

from pycompress.graph.shapes import infer_shapes
from pycompress.graph.types import OPS, infer_types, is_complete
from pycompress.readers.errors import ModelError
from pycompress.readers.onnx.build import build
from pycompress.readers.onnx.infer import with_types
from pycompress.readers.onnx.messages import parse
from pycompress.readers.onnx.tensors import Tensors
from pycompress.readers.onnx.upgrade import CANONICAL, upgrade
from pycompress.readers.onnx.wire import without_big_tensors

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph
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
    path = Path(model)
    with path.open("rb") as file:
        empty = os.fstat(file.fileno()).st_size == 0  # which cannot be mapped
        buffer = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _parse(buffer, path.parent, f"'{path}'")


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
    graph = _read_alone(model, opsets, Tensors(message, file, folder))
    if graph is None:
        message = _bytes(with_types(_proto(message)))
        graph = build(parse(message), opsets, Tensors(message, file, folder))
        if graph.opset < CANONICAL:
            upgrade(graph)
        infer_shapes(graph)
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
    """Return the graph with types and shapes that are worked out here, None where some are missing.

    A file that `compress` wrote needs no more. Asking onnx costs a third of the time to read it:
    the message goes there and back as bytes.
    """
    assert model.graph is not None
    if opsets[""] < CANONICAL or any(n.domain or n.op not in _KNOWN for n in model.graph.nodes):
        return None
    graph = build(model, opsets, tensors)
    infer_types(graph)
    infer_shapes(graph)
    return graph if is_complete(graph) else None


def _inline(proto: ModelProto) -> ModelProto:
    """Replace calls of the model's own functions by their bodies."""
    from onnx import inliner

    try:
        return inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        msg = f"the model's functions cannot be inlined: {error}"
        raise ModelError(msg) from None
