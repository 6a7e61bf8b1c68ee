"""TensorProto -> ndarray: views of the file where the bytes allow it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from pycompress import _core
from pycompress.readers.errors import ModelError
from pycompress.readers.onnx.wire import INSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.readers.onnx import messages

DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.INT32: np.dtype(np.int32),
    TensorProto.UINT32: np.dtype(np.uint32),
    TensorProto.INT64: np.dtype(np.int64),
    TensorProto.UINT64: np.dtype(np.uint64),
    TensorProto.BOOL: np.dtype(np.bool_),
    TensorProto.STRING: np.dtype(object),
}
"""The element types that models may use; those that NumPy lacks where ml_dtypes is installed."""

_ML_DTYPES = {
    "BFLOAT16": "bfloat16",
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "FLOAT8E8M0": "float8_e8m0fnu",
    "FLOAT4E2M1": "float4_e2m1fn",
    "INT4": "int4",
    "UINT4": "uint4",
    "INT2": "int2",
    "UINT2": "uint2",
}
"""ONNX names of element types, and what ml_dtypes calls them; onnx may be too old for some."""

try:
    import ml_dtypes
except ImportError:  # onnx before 1.17 does not bring it
    pass
else:
    DTYPES |= {
        getattr(TensorProto, code): np.dtype(getattr(ml_dtypes, name))
        for code, name in _ML_DTYPES.items()
        if hasattr(TensorProto, code) and hasattr(ml_dtypes, name)
    }

_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}  # all others: int32_data
_SHARING = {"int4": 2, "uint4": 2, "float4_e2m1fn": 2, "int2": 4, "uint2": 4}
"""How many elements lie in one byte of a file; NumPy gives each a byte of its own."""
_SPECIAL = {
    TensorProto.STRING,
    *(c for c in DTYPES if c > TensorProto.BFLOAT16),
}
PLAIN = {code: dtype for code, dtype in DTYPES.items() if code not in _SPECIAL}
"""Those of which a tensor's bytes are its elements."""

_AS_BITS = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


def type_name(code: int) -> str:
    """Return the name of an ONNX element type."""
    return (
        TensorProto.DataType.Name(code) if code in TensorProto.DataType.values() else f"type {code}"
    )


def dtype_of(code: int, what: str) -> np.dtype[Any]:
    """Return the NumPy dtype of an ONNX element type; `what` names the tensor in the error."""
    if code not in DTYPES:
        known = ", ".join(type_name(c) for c in DTYPES)
        msg = f"{what} has element type {type_name(code)}; supported are {known}"
        raise ModelError(msg)
    return DTYPES[code]


class Tensors:
    """Turns the tensors of one model into arrays.

    Parameters
    ----------
    message : ndarray of uint8
        What was parsed: the bytes of tensors that lie in the message are views of it.
    file : ndarray of uint8
        The model file, for tensors that say `INSIDE`; often the same.
    folder : Path or None
        Where the model lies; external data must lie in it. None when the model did not come from a
        file.
    """

    def __init__(self, message: np.ndarray, file: np.ndarray, folder: Path | None) -> None:
        self._message, self._file, self._folder = message, file, folder
        self._maps: dict[str, np.ndarray] = {}

    @property
    def message(self) -> np.ndarray:
        """The bytes that were parsed."""
        return self._message

    def array(self, tensor: messages.Tensor, kind: str, name: str) -> np.ndarray:
        """Return a tensor as an array, checked against its dims; kind and name are for errors.

        Raises
        ------
        ModelError
            When the type is not supported, a dim is negative, or there are not just as many bytes
            as the dims ask for.
        """
        code = tensor.data_type or 0
        dtype = DTYPES.get(code)
        plain = code not in _SPECIAL and not tensor.data_location
        if plain and dtype is not None and tensor.raw_data is not None:
            view: np.ndarray | None = _core.view_of(
                self._message, *tensor.raw_data, dtype, tensor.dims
            )
            if view is not None:
                return view
        elif plain:
            numbers = getattr(tensor, _FIELDS.get(code, "int32_data"))
            fits = (
                numbers is not None and numbers.dtype == dtype and min(tensor.dims, default=0) >= 0
            )
            if fits and numbers.size == math.prod(tensor.dims):
                return np.asarray(numbers.reshape(tensor.dims))
        return self._checked(tensor, f"{kind} '{name}'")

    def _checked(self, tensor: messages.Tensor, what: str) -> np.ndarray:
        code, dims = tensor.data_type or 0, tuple(tensor.dims)
        dtype = dtype_of(code, what)
        if dims and min(dims) < 0:
            msg = f"{what} has a negative dimension: {list(dims)}"
            raise ModelError(msg)
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._external(tensor, dtype, dims, what)
        raw = None if tensor.raw_data is None else self._message[slice(*tensor.raw_data)]
        if code in _SPECIAL:
            return _special(tensor, None if raw is None else raw.tobytes(), what)
        if raw is not None:
            return _shaped(raw, dtype, dims, what)
        found = getattr(tensor, _FIELDS.get(code, "int32_data"))
        field: np.ndarray = np.zeros(0, dtype) if found is None else found
        if field.size != math.prod(dims):
            msg = (
                f"{what} has dims {list(dims)}, {math.prod(dims)} elements, but holds {field.size}"
            )
            raise ModelError(msg)
        values = field.astype(np.uint16).view(dtype) if code in _AS_BITS else field.astype(dtype)
        return values.reshape(dims)

    def _external(
        self, tensor: messages.Tensor, dtype: np.dtype[Any], dims: Sequence[int], what: str
    ) -> np.ndarray:
        entries = {e.key or "": e.value or "" for e in tensor.external_data}
        location, size = entries.get("location", ""), _bytes(dims, dtype)
        source = self._source(location, what)
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
        except ValueError:
            msg = f"{what} has external data whose offset or length is not a number: {entries}"
            raise ModelError(msg) from None
        if offset < 0 or length < 0 or offset + length > source.size:
            file = "the model file" if location == INSIDE else f"'{location}'"
            span = f"bytes {offset} to {offset + length}"
            msg = f"{what} needs {span} of {file}, which has {source.size}"
            raise ModelError(msg)
        data = source[offset : offset + length]
        if tensor.data_type in _SPECIAL:
            return _special(tensor, data.tobytes(), what)
        return _shaped(data, dtype, dims, what)

    def _source(self, location: str, what: str) -> np.ndarray:
        if location == INSIDE:
            return self._file
        if location not in self._maps:
            path = self._path(location, what)
            empty = path.stat().st_size == 0  # which cannot be mapped
            self._maps[location] = (
                np.zeros(0, np.uint8) if empty else np.memmap(path, np.uint8, "r")
            )
        return np.asarray(self._maps[location])

    def _path(self, location: str, what: str) -> Path:
        if self._folder is None:
            msg = (
                f"{what} has external data in '{location}'; such a model must be read from its path"
            )
            raise ModelError(msg)
        folder = self._folder.resolve()
        try:
            path = (folder / location).resolve()
            there = path.is_file()
        except (ValueError, OSError):
            path, there = folder, False
        if not location or path == folder or not path.is_relative_to(folder):
            msg = (
                f"{what} has external data in '{location}', which is not inside the model's folder"
            )
            raise ModelError(msg)
        if not there:
            msg = f"{what} has external data in '{location}', but there is no such file"
            raise ModelError(msg)
        return path


def _bytes(dims: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return what a file needs for a tensor; elements narrower than a byte share one."""
    each = _SHARING.get(dtype.name, 1)
    return (math.prod(dims) * dtype.itemsize + each - 1) // each


def _special(tensor: messages.Tensor, raw: bytes | None, what: str) -> np.ndarray:
    """Return a tensor of strings, or of elements that share bytes or are narrower than one."""
    from onnx import numpy_helper

    proto = TensorProto(data_type=tensor.data_type, dims=tensor.dims)
    if raw is not None:
        proto.raw_data = raw
    if tensor.int32_data is not None:
        proto.int32_data.extend(tensor.int32_data.tolist())
    proto.string_data.extend(s.encode() if isinstance(s, str) else s for s in tensor.string_data)
    try:
        array = numpy_helper.to_array(proto)
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        msg = f"{what} has dims {tensor.dims} and cannot be read: {error}"
        raise ModelError(msg) from None
    return np.asarray(array)


def _shaped(data: np.ndarray, dtype: np.dtype[Any], dims: Sequence[int], what: str) -> np.ndarray:
    view: np.ndarray | None = _core.view_of(data, 0, data.size, dtype, list(dims))
    if view is None:
        size = math.prod(dims) * dtype.itemsize
        wanted = f"{list(dims)}, which take {size} bytes as {dtype}"
        msg = f"{what} has dims {wanted}, but holds {data.size} bytes"
        raise ModelError(msg)
    return view
