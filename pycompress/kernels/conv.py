"""Quantized convolution of NumPy arrays with packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress._core import PackedConvolution
from pycompress.kernels.arrays import as_array
from pycompress.kernels.gemm import ActivationLike, _activation

__all__ = ["PackedConvolution", "pack_conv", "qconv"]


def per_dimension(function: str, name: str, value: int | Sequence[int], rank: int) -> list[int]:
    """Return one integer for each spatial dimension."""
    values = [value] * rank if isinstance(value, int) else list(value)
    if len(values) != rank:
        msg = f"{function}: {name} must be one integer or {rank} of them, found {value!r}"
        raise ValueError(msg)
    return values


def pads(function: str, padding: int | Sequence[int], rank: int) -> list[int]:
    """Return the begins of all spatial dimensions, then their ends."""
    if not isinstance(padding, int) and len(padding) == 2 * rank:
        return list(padding)
    if not isinstance(padding, int) and len(padding) != rank:
        msg = (
            f"{function}: padding must be one integer, {rank} of them, or {2 * rank} "
            f"(begins, then ends), found {padding!r}"
        )
        raise ValueError(msg)
    return per_dimension(function, "padding", padding, rank) * 2


def pack_conv(
    w: ArrayLike,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    zero_point: ArrayLike | None = None,
) -> PackedConvolution:
    """Pack a convolution's weights for the instruction set in use, once for many runs.

    Parameters
    ----------
    w
        ``[O, I / groups, k...]`` int8 or uint8, C-contiguous, with 1 to 3 spatial dimensions.
    scale
        float32, one or ``[O]``: real weight = (w - zero_point) * scale.
    bias
        float32, one or ``[O]``, in real units.
    stride, dilation
        One integer, or one for each spatial dimension.
    padding
        One integer, one for each spatial dimension, or the begins of all and then their ends.
    groups
        Into how many the channels are divided; as many as channels: depthwise.
    zero_point
        Integers in the type of `w`, one or ``[O]``.

    Returns
    -------
    PackedConvolution
        With ``shape``, ``dtype``, ``groups``, ``isa`` and ``nbytes``. `w` is not kept.

    Raises
    ------
    TypeError, ValueError
        A type, shape or value that does not fit; or a sum could leave int32.
    """
    array = as_array("pack_conv: w", w)
    rank = max(array.ndim - 2, 1)
    return _core.pack_conv(
        array,
        scale,
        bias,
        zero_point,
        per_dimension("pack_conv", "stride", stride, rank),
        pads("pack_conv", padding, rank),
        per_dimension("pack_conv", "dilation", dilation, rank),
        groups,
    )


def _channels_last(layout: str, x: NDArray[Any]) -> NDArray[Any]:
    if layout == "NHWC":
        return x
    if layout == "NCHW":
        return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if x.ndim > 1 else x
    msg = f"qconv: layout must be 'NHWC' or 'NCHW', found {layout!r}"
    raise ValueError(msg)


def qconv(
    x: ArrayLike,
    k: PackedConvolution,
    *,
    x_scale: float | None = None,
    x_zero_point: int = 0,
    y_scale: float | None = None,
    y_zero_point: int = 0,
    y_dtype: str = "uint8",
    activation: ActivationLike = None,
    layout: str = "NHWC",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Run a quantized convolution: ``y = act(real(x) * real(w) + bias)``.

    Parameters
    ----------
    x
        ``[N, spatial..., C]`` uint8 or int8, C-contiguous; with layout "NCHW"
        ``[N, C, spatial...]``.
    k
        From :func:`pack_conv`.
    x_scale, x_zero_point
        Of `x`. Without a scale the result is the exact int32 sums, and no bias is added.
    y_scale
        None: the result is float32. Else it is quantized with this scale.
    y_zero_point, y_dtype
        Of a quantized result: "uint8" or "int8".
    activation
        As for :func:`pycompress.qlinear`.
    layout
        "NHWC", how the kernels work, or "NCHW", which is transposed to it and back: two copies.
    out
        An array of the result's shape and type to write into.

    Returns
    -------
    ndarray
        int32, float32, uint8 or int8 in the layout of `x`: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it.

    Notes
    -----
    ONNX QLinearConv and ConvInteger (opset 10). What lies outside of `x` reads as `x_zero_point`.
    The same bits on every instruction set and thread count.
    """
    array = _channels_last(layout, as_array("qconv: x", x))
    direct = out if layout == "NHWC" else None
    y = _core.qconv(
        array,
        k,
        x_scale,
        x_zero_point,
        y_scale,
        y_zero_point,
        y_dtype,
        None if activation is None else _activation(activation),
        direct,
    )
    if layout == "NHWC":
        return y
    turned = np.moveaxis(y, -1, 1)
    if out is None:
        return np.ascontiguousarray(turned)
    if out.shape != turned.shape or out.dtype != turned.dtype:
        msg = f"qconv: out is {out.dtype} {out.shape}, wanted {turned.dtype} {turned.shape}"
        raise ValueError(msg)
    out[...] = turned
    return out
