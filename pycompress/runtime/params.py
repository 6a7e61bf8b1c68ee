"""Quantization parameters, as QuantizeLinear and DequantizeLinear nodes give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pycompress.graph.ir import Node, Value

INT8 = (np.dtype(np.uint8), np.dtype(np.int8))
_FLOAT = np.dtype(np.float32)
_BYTES = np.arange(256, dtype=np.uint8)
_OUTPUT_DTYPES = {0: INT8[0], 2: INT8[0], 3: INT8[1]}  # TensorProto.UNDEFINED, UINT8, INT8


class Params(NamedTuple):
    """How integers stand for numbers: ``(q - zero) * scale``, one scale for the whole tensor.

    Attributes
    ----------
    dtype : numpy dtype, uint8 or int8
    """

    scale: np.float32
    zero: int
    dtype: np.dtype[Any]

    def codes(self) -> np.ndarray:
        """Return the 256 integers in the order of their bytes (int32)."""
        return _BYTES.view(self.dtype).astype(np.int32)

    def dequantize(self) -> np.ndarray:
        """Return what the 256 bytes stand for (float32; ONNX DequantizeLinear)."""
        return (self.codes() - self.zero).astype(np.float32) * self.scale

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Return the bytes (uint8) of float32 values (ONNX QuantizeLinear; NaN: the low end)."""
        low, high = (0, 255) if self.dtype == np.uint8 else (-128, 127)
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = np.rint(x / self.scale).astype(np.float64) + self.zero
        rounded = np.where(np.isnan(rounded), low, np.minimum(np.maximum(rounded, low), high))
        return rounded.astype(np.int32).astype(self.dtype).view(np.uint8)


def node_params(node: Node) -> Params | None:
    """Return the parameters of a Q or DQ node; None when they are not one constant 8-bit pair."""
    scale, zero = node.input(1), node.input(2)
    if scale is None or scale.const is None or (zero is not None and zero.const is None):
        return None
    number = scale.array()
    if number.size != 1 or number.dtype != _FLOAT or not number.item() > 0:
        return None
    dtype: np.dtype[Any] | None
    if zero is not None:
        dtype = zero.array().dtype
    elif node.op == "QuantizeLinear":
        dtype = _OUTPUT_DTYPES.get(node.attrs.get("output_dtype", 0))
    else:
        integers: Value | None = node.inputs[0]
        dtype = None if integers is None else integers.dtype
    if dtype not in INT8:
        return None
    offset = 0 if zero is None else int(zero.array().item())
    return Params(np.float32(number.item()), offset, np.dtype(dtype))
