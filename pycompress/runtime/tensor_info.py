"""What a session says of its inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.runtime.elements import NAMES

if TYPE_CHECKING:
    from pycompress.graph.ir import Value

_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "float16",
    "bool": "bool",
    "object": "string",
}


class TensorInfo:
    """Name, shape and type of an input or output.

    Attributes
    ----------
    name : str
    shape : list
        int where fixed, str where named, None where unknown.
    type : str
        As onnxruntime spells it: ``tensor(float)``, ``tensor(int64)`` ...
    """

    def __init__(
        self,
        name: str,
        shape: list[int | str | None] | None,
        type: str,
        dtype: np.dtype[Any] | None,
    ) -> None:
        self.name, self.shape, self.type, self.dtype = name, shape, type, dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorInfo) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TensorInfo(name={self.name!r}, shape={self.shape}, type={self.type!r})"

    @classmethod
    def of(cls, value: Value) -> TensorInfo:
        """Describe a value of the graph."""
        dtype = value.dtype
        name = "undefined" if dtype is None else NAMES.get(dtype) or dtype.name
        shape = None if value.shape is None else list(value.shape)
        return cls(value.name, shape, f"tensor({_TYPES.get(name, name)})", value.dtype)

    def row(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.name, self.shape, self.type, None if self.dtype is None else self.dtype.name]

    @classmethod
    def from_row(cls, row: list[Any]) -> TensorInfo:
        """Return what `row` described."""
        name, shape, kind, dtype = row
        if shape is not None and not isinstance(shape, list):
            msg = f"'{name}' has no shape, but {shape!r}"
            raise TypeError(msg)
        return cls(name, shape, kind, None if dtype is None else np.dtype(dtype))
