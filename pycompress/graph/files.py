"""Graph -> ONNX file, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from onnx import TensorProto

from pycompress.graph.beside import beside, refuse_source
from pycompress.graph.expand import expand
from pycompress.graph.onnx_writer import Exporter, all_constants, embed

if TYPE_CHECKING:
    import os

    from pycompress.graph.ir import Graph

_LARGEST_PROTOBUF = 2**31 - 2**20
_EXTERNAL = 1024  # bytes from which a tensor goes to the data file, when there is one
_PAGE = 4096  # tensors start on pages, so that they can be mapped


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
    graph : Graph
        In preset formats or not.
    path : path
        Constants beyond `limit` bytes in all go to a second file, ``<path>.data``.
    source : path, optional
        The file that the graph was read from, which must not be overwritten: its constants are
        still being read.
    limit : int
        The largest protobuf that can be read is 2 GB.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        When `path` is `source`, or its data file one that the graph's constants lie in.
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    if source is not None:
        refuse_source(path, Path(source))
    standard = expand(graph)
    if sum(v.array().nbytes for v in all_constants(standard)) < limit:
        model = Exporter(embed).model(standard).SerializeToString()
        with beside(path) as file:
            return file.write(model)
    data_path = path.with_name(path.name + ".data")
    _refuse_mapped(standard, data_path)
    with beside(path) as file, beside(data_path) as data:
        store = _DataFile(data, data_path.name)
        size = file.write(Exporter(store).model(standard).SerializeToString())
        return size + data.tell()


class _DataFile:
    """Stores what is large in a data file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name = file, name

    def __call__(self, tensor: TensorProto, array: np.ndarray) -> None:
        if array.nbytes < _EXTERNAL:
            embed(tensor, array)
            return
        self.file.write(b"\0" * (-self.file.tell() % _PAGE))
        tensor.data_location = TensorProto.EXTERNAL
        offset, length = self.file.tell(), array.nbytes
        for key, value in (("location", self.name), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _refuse_mapped(graph: Graph, path: Path) -> None:
    """Keep the data file of another model, which constants of the graph are views of."""
    if not path.exists():
        return
    for value in all_constants(graph):
        base = value.const
        while base is not None:
            if isinstance(base, np.memmap) and path.samefile(str(base.filename)):
                msg = f"'{path}' holds data of the model that is being read; write to another file"
                raise ValueError(msg)
            base = getattr(base, "base", None)
