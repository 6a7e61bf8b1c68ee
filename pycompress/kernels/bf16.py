"""Products of float32 by way of bfloat16: half the bytes, and twice the speed where the CPU can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress._core import PackedBf16, PackedBf16Convolution
from pycompress.kernels.arrays import as_array
from pycompress.kernels.conv import pads, per_dimension

__all__ = [
    "PackedBf16",
    "PackedBf16Convolution",
    "bf16_isa",
    "conv_bf16",
    "gemm_bf16",
    "pack_bf16",
    "pack_conv_bf16",
]


def bf16_isa() -> str:
    """Name the kernel that multiplies bfloat16 on this CPU with the instruction set in use.

    Returns
    -------
    str
        "avx512_bf16" where the CPU has the instruction; else "float32 on" the instruction set in
        use: the same roundings, the speed of float32, and weights of half the size.
    """
    return _core.bf16_isa()


def pack_bf16(w: ArrayLike, bias: ArrayLike | None = None) -> PackedBf16:
    """Round weights to bfloat16 and bring them into panels, once for many products.

    Parameters
    ----------
    w
        ``[K, N]`` float32, with any strides.
    bias
        float32, one or ``[N]``, that the products add; it stays float32.

    Returns
    -------
    PackedBf16
        With ``shape``, ``isa`` (as :func:`bf16_isa` names it) and ``nbytes``. `w` is not kept.

    Raises
    ------
    TypeError, ValueError
        A type or shape that does not fit.
    """
    return _core.pack_bf16(as_array("pack_bf16: w", w), bias)


def gemm_bf16(
    a: ArrayLike, packed: PackedBf16, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Multiply float32 by way of bfloat16: ``bfloat16(a) . bfloat16(w) + bias``.

    Parameters
    ----------
    a
        ``[..., K]`` float32. A matrix may have rows that lie apart; else C-contiguous.
    packed
        From :func:`pack_bf16`.
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
    Both sides are rounded half to even to 8 significant bits, products are exact and sums are
    float32. Results are the same bits on every thread count, not on every instruction set: the
    order of a sum differs. NaN and infinities stay what they are; denormal numbers may count as 0,
    since the instruction takes them for it.
    """
    if type(a) is not np.ndarray:
        a = as_array("gemm_bf16: a", a)
    result = _core.gemm_bf16(a, packed, out)
    return cast("NDArray[np.float32]", result)


def pack_conv_bf16(
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> PackedBf16Convolution:
    """Round a convolution's weights to bfloat16 and bring them into panels, once for many runs.

    Parameters
    ----------
    w
        ``[O, I, k...]`` float32, C-contiguous, with 1 to 3 spatial dimensions. One group: all
        filters see all channels.
    bias
        float32, one or ``[O]``; it stays float32.
    stride, dilation
        One integer, or one for each spatial dimension.
    padding
        One integer, one for each spatial dimension, or the begins of all and then their ends.

    Returns
    -------
    PackedBf16Convolution
        With ``shape``, ``isa`` (as :func:`bf16_isa` names it) and ``nbytes``. `w` is not kept.

    Raises
    ------
    TypeError, ValueError
        A type, shape or value that does not fit.
    """
    array = as_array("pack_conv_bf16: w", w)
    rank = max(array.ndim - 2, 1)
    return _core.pack_conv_bf16(
        array,
        bias,
        per_dimension("pack_conv_bf16", "stride", stride, rank),
        pads("pack_conv_bf16", padding, rank),
        per_dimension("pack_conv_bf16", "dilation", dilation, rank),
    )


def conv_bf16(
    x: ArrayLike, packed: PackedBf16Convolution, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Convolve float32 by way of bfloat16.

    Parameters
    ----------
    x
        ``[N, spatial..., C]`` float32, C-contiguous: channels last.
    packed
        From :func:`pack_conv_bf16`.
    out
        ``[N, spatial..., O]`` float32, C-contiguous, to write into.

    Returns
    -------
    ndarray
        ``[N, spatial..., O]`` float32: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape or layout does not fit; the message names it.

    Notes
    -----
    ONNX Conv (opset 11) without groups, of operands rounded as in :func:`gemm_bf16`.
    """
    if type(x) is not np.ndarray:
        x = as_array("conv_bf16: x", x)
    result = _core.conv_bf16(x, packed, out)
    return cast("NDArray[np.float32]", result)
