"""Products of float32 by way of bfloat16: half the bytes, and twice the speed where the CPU can."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress._core import PackedBf16
from pycompress.kernels.arrays import as_array

__all__ = ["PackedBf16", "bf16_isa", "gemm_bf16", "pack_bf16"]


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
