"""4-bit weights in blocks with a scale each, and products of float32 with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress._core import PackedInt4
from pycompress.kernels.arrays import as_array

__all__ = ["Int4Weights", "PackedInt4", "gemm_int4", "pack_int4", "quantize_int4"]

BLOCKS = (32, 64, 128)


@dataclass(frozen=True, eq=False)
class Int4Weights:
    """Weights [K, N] of 4 bits: ``(q - zero_point) * scale``, block after block along K.

    Attributes
    ----------
    data : ndarray of uint8
        ``[N, ceil(K / block), block / 2]``: two values in a byte, the earlier one in the low half,
        and 8 (or the zero point) where a block ends beyond K.
    scale : ndarray of float32
        ``[N, ceil(K / block)]``; may be negative.
    zero_point : ndarray of uint8 or None
        ``[N, ceil(K / block)]``, in 0..15; None stands for 8 everywhere.
    shape : tuple of int
        (K, N).
    block : int
        32, 64 or 128.
    """

    data: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.uint8] | None
    shape: tuple[int, int]
    block: int

    @property
    def nbytes(self) -> int:
        """Bytes of the values, their scales, and half a byte for each zero point."""
        zeros = 0 if self.zero_point is None else (self.zero_point.size + 1) // 2
        return self.data.nbytes + self.scale.nbytes + zeros

    def dequantize(self) -> NDArray[np.float32]:
        """Return the float32 weights that the values stand for.

        Returns
        -------
        ndarray
            ``[K, N]`` float32.
        """
        n, blocks, half = self.data.shape
        q = np.empty((n, blocks, half, 2), np.int8)
        np.bitwise_and(self.data, 15, out=q[..., 0], casting="unsafe")
        np.right_shift(self.data, 4, out=q[..., 1], casting="unsafe")
        zero = np.int8(8) if self.zero_point is None else self.zero_point[..., None, None]
        real = (q - zero).astype(np.float32) * self.scale[..., None, None]
        return np.ascontiguousarray(real.reshape(n, -1)[:, : self.shape[0]].T)


def _need_block(function: str, block: int) -> None:
    if block not in BLOCKS:
        msg = f"{function}: block is {block!r}, wanted 32, 64 or 128"
        raise ValueError(msg)


def quantize_int4(w: ArrayLike, block: int = 32, *, symmetric: bool = True) -> Int4Weights:
    """Quantize weights to 4 bits, with a scale for each block of each column.

    Parameters
    ----------
    w
        ``[K, N]`` float32, finite, with any strides.
    block
        How many values along K share a scale: 32, 64 or 128.
    symmetric
        True: the zero point is 8 everywhere, and the largest value of a block, of whichever sign,
        becomes 0, so that all 16 values are in use. False: a zero point for each block, and the
        scale that spans its smallest and its largest value, 0 among them.

    Returns
    -------
    Int4Weights
        In the layout of ONNX Runtime's MatMulNBits.

    Raises
    ------
    TypeError, ValueError
        `w` is not float32 or has another rank, a value is NaN or infinite, or `block` is another
        number.

    Notes
    -----
    ``q = clamp(round_half_even(w / scale) + zero_point, 0, 15)``, as ONNX QuantizeLinear (opset 21,
    blocked) has it.
    """
    _need_block("quantize_int4", block)
    w = as_array("quantize_int4: w", w)
    if w.dtype != np.float32:
        msg = f"quantize_int4: w has dtype {w.dtype}, wanted float32"
        raise TypeError(msg)
    if w.ndim != 2:
        msg = f"quantize_int4: w has shape {w.shape}, wanted [K, N]"
        raise ValueError(msg)
    k, n = w.shape
    blocks = -(-k // block)
    padded = np.zeros((n, blocks * block), np.float32)
    padded[:, :k] = w.T
    parts = padded.reshape(n, blocks, block)
    low, high = parts.min(axis=2, initial=0), parts.max(axis=2, initial=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        column = int(np.argmax(~(np.isfinite(low) & np.isfinite(high)).all(axis=1)))
        msg = f"quantize_int4: w has NaN or infinite values in column {column}"
        raise ValueError(msg)
    zero_point: NDArray[np.uint8] | None = None
    if symmetric:
        scale = np.where(-low >= high, low, high) / np.float32(-8)
    else:
        # Halves first: the span of two large floats may not be one.
        scale = (high / 2 - low / 2) / np.float32(7.5)
    # A denormal quotient would be too coarse to hold the largest value.
    tiny = np.finfo(np.float32).tiny
    scales: NDArray[np.float32] = np.where(np.abs(scale) < tiny, np.float32(1), scale).astype(
        np.float32
    )
    if not symmetric:
        zero_point = np.clip(np.rint(-low / scales), 0, 15).astype(np.uint8)
    q = np.rint(parts / scales[..., None])
    q += np.float32(8) if zero_point is None else zero_point[..., None]
    values = np.clip(q, 0, 15, out=q).astype(np.uint8)
    data: NDArray[np.uint8] = np.bitwise_or(
        values[..., ::2], np.left_shift(values[..., 1::2], 4), dtype=np.uint8
    )
    return Int4Weights(data, scales, zero_point, (k, n), block)


def pack_int4(
    w: ArrayLike | Int4Weights, block: int = 32, bias: ArrayLike | None = None
) -> PackedInt4:
    """Bring 4-bit weights into the panels of the instruction set in use, once for many products.

    Parameters
    ----------
    w
        ``[K, N]`` float32, which :func:`quantize_int4` quantizes, or what it returned.
    block
        How many values along K share a scale: 32, 64 or 128. Weights that are quantized already
        have their own.
    bias
        float32, one or ``[N]``, that the products add.

    Returns
    -------
    PackedInt4
        With ``shape``, ``block``, ``isa`` and ``nbytes``. `w` is not kept.

    Raises
    ------
    TypeError, ValueError
        A type, shape or value that does not fit.
    """
    q = w if isinstance(w, Int4Weights) else quantize_int4(w, block)
    return _core.pack_int4(q.data, q.scale, q.zero_point, *q.shape, q.block, bias)


def gemm_int4(
    a: ArrayLike, packed: PackedInt4, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Multiply float32 with 4-bit weights: ``a . w + bias``.

    Parameters
    ----------
    a
        ``[..., K]`` float32. A matrix may have rows that lie apart; else C-contiguous.
    packed
        From :func:`pack_int4`.
    out
        ``[..., N]`` float32 to write into.

    Returns
    -------
    ndarray
        ``[..., N]`` float32: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape or layout does not fit; the message names it.

    Notes
    -----
    `a` is quantized on its way in, to int8 in [-127, 127] with a scale of its own for each row and
    each block of K (``max(|a|) / 127``), so that the products within a block are exact integers;
    the blocks are added up in float32, in order. The error that this adds is at most half a step
    of `a`, 1/254 of the largest value of its block. ONNX Runtime's MatMulNBits does the same at
    accuracy level 4. Blocks of `a` with NaN or an infinity give NaN; blocks with nothing above
    2^-119 count as 0. The same bits on every instruction set and thread count.
    """
    if type(a) is not np.ndarray:
        a = as_array("gemm_int4: a", a)
    result = _core.gemm_int4(a, packed, out)
    return cast("NDArray[np.float32]", result)
