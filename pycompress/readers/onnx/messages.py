"""The messages of an ONNX file, as the native parser hands them out.

Each class has the fields of onnx.proto that the reader looks at, in the order of the table in
``csrc/bindings/onnx.cpp``. A field that comes once and is absent is None; one that may come many
times is a list, and () when it is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pycompress import _core
from pycompress.readers.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Entry(NamedTuple):
    """A key and a value of metadata."""

    key: str | None
    value: str | None


class Opset(NamedTuple):
    """A domain and the version of its operators."""

    domain: str | None
    version: int | None


class Dim(NamedTuple):
    """A size: a number, a name, or neither."""

    value: int | None
    param: str | None


class Shape(NamedTuple):
    """Sizes."""

    dims: Sequence[Dim]


class TensorType(NamedTuple):
    """Element type and shape."""

    elem_type: int | None
    shape: Shape | None


class Type(NamedTuple):
    """A type; no tensor when it is a sequence, a map or an optional."""

    tensor: TensorType | None


class ValueInfo(NamedTuple):
    """What is known of a value."""

    name: str | None
    type: Type | None


class Tensor(NamedTuple):
    """A tensor; `raw_data` says where its bytes begin and end in the file."""

    dims: Sequence[int]
    data_type: int | None
    float_data: np.ndarray | None
    int32_data: np.ndarray | None
    string_data: Sequence[str | bytes]
    int64_data: np.ndarray | None
    name: str | None
    raw_data: tuple[int, int] | None
    double_data: np.ndarray | None
    uint64_data: np.ndarray | None
    external_data: Sequence[Entry]
    data_location: int | None


class Attribute(NamedTuple):
    """An attribute of a node; `type` says which field holds it."""

    name: str | None
    f: float | None
    i: int | None
    s: str | bytes | None
    t: Tensor | None
    g: Graph | None
    floats: Sequence[float]
    ints: Sequence[int]
    strings: Sequence[str | bytes]
    type: int | None


class Node(NamedTuple):
    """An operator and the names of what it reads and makes."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    name: str | None
    op: str | None
    attributes: Sequence[Attribute]
    domain: str | None
    metadata: Sequence[Entry]


class Anything(NamedTuple):
    """A message of which it only matters that it is there."""


class Graph(NamedTuple):
    """Nodes, and what they compute from what."""

    nodes: Sequence[Node]
    name: str | None
    initializers: Sequence[Tensor]
    doc: str | bytes | None
    inputs: Sequence[ValueInfo]
    outputs: Sequence[ValueInfo]
    values: Sequence[ValueInfo]
    sparse: Sequence[Anything]


class Model(NamedTuple):
    """A file."""

    graph: Graph | None
    opsets: Sequence[Opset]
    metadata: Sequence[Entry]
    functions: Sequence[Anything]


_MESSAGES = (
    *(Entry, Opset, Dim, Shape, TensorType, Type, ValueInfo),
    *(Tensor, Attribute, Node, Anything, Graph, Model),
)
_CLASSES = {message.__name__: message for message in _MESSAGES}


def parse(buffer: np.ndarray) -> Model:
    """Return the messages of a file, given as uint8.

    Raises
    ------
    ModelError
        When the bytes are not a whole ModelProto, or a name in it is not text.
    """
    try:
        model: Model = _core.parse_onnx(buffer, _CLASSES)
    except ValueError as error:
        raise ModelError(str(error)) from None
    return model
