"""Between float32 and integers: tensors with known scales, and weights that find their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress.kernels.arrays import as_array

__all__ = ["QuantizedWeights", "dequantize", "quantize", "quantize_weights"]


def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    axis: int | None = None,
    dtype: str = "int8",
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Quantize: ``saturate(round_half_even(x / scale) + zero_point)``.

    Parameters
    ----------
    x
        float32, C-contiguous, any shape.
    scale
        Positive and finite: one, or one for each index on `axis`.
    zero_point
        In the type of the result: one, or one for each index on `axis`.
    axis
        The channel axis, negative from the end; None when there is one scale.
    dtype
        "int8" or "uint8".
    out
        Array of that type and of the shape of `x` to write into.

    Returns
    -------
    ndarray
        `out`, or a new array of the shape of `x`.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it.

    Notes
    -----
    ONNX QuantizeLinear (opset 13). NaN becomes the lowest value of the type, infinities the ends.
    The same bits on every instruction set and thread count.
    """
    if type(x) is not np.ndarray:
        x = as_array("quantize: x", x)
    return _core.quantize(x, scale, zero_point, axis, dtype, out)


def dequantize(
    q: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    axis: int | None = None,
    *,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Dequantize: ``float32(q - zero_point) * scale``.

    Parameters
    ----------
    q
        uint8, int8 or int32, C-contiguous, any shape.
    scale
        One, or one for each index on `axis`.
    zero_point
        In the type of `q`: one, or one for each index on `axis`.
    axis
        The channel axis, negative from the end; None when there is one scale.
    out
        float32 array of the shape of `q` to write into.

    Returns
    -------
    ndarray
        float32: `out`, or a new array of the shape of `q`.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it.

    Notes
    -----
    ONNX DequantizeLinear (opset 13).
    """
    if type(q) is not np.ndarray:
        q = as_array("dequantize: q", q)
    result = _core.dequantize(q, scale, zero_point, axis, out)
    return cast("NDArray[np.float32]", result)


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """Symmetric int8 weights: the real ones are ``data * scale``, along `axis`.

    Attributes
    ----------
    data : ndarray of int8
        In [-127, 127].
    scale : ndarray of float32
        Shape (data.shape[axis],), or () when axis is None.
    axis : int or None
        The channel axis, not negative.
    """

    data: NDArray[np.int8]
    scale: NDArray[np.float32]
    axis: int | None

    @property
    def nbytes(self) -> int:
        """Bytes of the integers and their scales."""
        return self.data.nbytes + self.scale.nbytes

    def dequantize(self) -> NDArray[np.float32]:
        """Return the float32 weights that the integers stand for.

        Returns
        -------
        ndarray
            float32, of the shape of `data`.
        """
        return dequantize(self.data, self.scale, axis=self.axis)


def quantize_weights(
    w: ArrayLike, axis: int | None, bits: int = 8, *, out: NDArray[np.int8] | None = None
) -> QuantizedWeights:
    """Quantize weights to int8, symmetrically, with the scales that just hold them.

    Parameters
    ----------
    w
        float32, C-contiguous, finite.
    axis
        The axis of the output channels, negative from the end: each index has its own scale.
        None: one scale for all.
    bits
        8.
    out
        int8 array of the shape of `w` to write the integers into.

    Returns
    -------
    QuantizedWeights
        ``scale = max(|w|) / 127`` by channel. It is 1 where all weights are 0: any scale would do
        there, and a 0 could not be divided by. The integers do not use -128, so that products of
        two of them have the same range on both sides. `data` is `out` where that is given.

    Raises
    ------
    TypeError, ValueError
        An argument's type, layout or value does not fit, or a weight is NaN or infinite: no scale
        holds it. The message names the channel.

    Notes
    -----
    The result is what ONNX DequantizeLinear (opset 13) reads, with zero points of 0.
    """
    if bits != 8:
        msg = f"quantize_weights: bits is {bits!r}, wanted 8"
        raise ValueError(msg)
    w = as_array("quantize_weights: w", w)
    data, scale = _core.quantize_weights(w, axis, out)
    return QuantizedWeights(data, scale, None if axis is None else axis % w.ndim)
