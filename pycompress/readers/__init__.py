"""Readers: a model file -> Graph, checked, in the canonical form that passes work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.readers.errors import ModelError as ModelError

if TYPE_CHECKING:
    import os

    from onnx import ModelProto

    from pycompress.graph.ir import Graph


def read(model: str | os.PathLike[str] | bytes | bytearray | memoryview | ModelProto) -> Graph:
    """Read an ONNX model (opsets 7 to 23) into a graph in the form of opset 18 or later.

    Parameters
    ----------
    model : path, bytes or ModelProto
        A path is mapped, not loaded: big constants of the graph are views of the file, external
        data included. Bytes are viewed in the same way and must not change while the graph lives.

    Returns
    -------
    Graph
        Constant nodes and initializers are constant values; element types and shapes are filled in
        where known.

    Raises
    ------
    ModelError
        When the model is truncated, malformed, cyclic, or uses what is not supported; the message
        names the part.
    OSError
        When the file cannot be read.
    """
    from pycompress.readers.onnx import read_onnx

    return read_onnx(model)
