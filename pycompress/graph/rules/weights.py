"""What the rules ask of a constant weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Quantized, in_halves

if TYPE_CHECKING:
    from pycompress.graph.ir import Constant, Node, Value


def why_not_weight(w: Value, rank: int | None, axis: int) -> str | None:
    """Return why a value can't be the weight of a preset node, or None when it can.

    Parameters
    ----------
    rank : int or None
        How many axes the weight must have; None = at least 3 (a convolution).
    axis : int
        The axis of the output channels, which the scales of an integer weight may follow.
    """
    if w.const is None:
        return f"its weight '{w.name}' is computed at run time"
    dims = w.const.shape
    if (len(dims) < 3) if rank is None else (len(dims) != rank):
        return f"its weight '{w.name}' has {len(dims)} axes, not {rank or '3 or more'}"
    if 0 in dims:
        return f"its weight '{w.name}' is empty"
    if isinstance(w.const, Quantized):
        if w.const.data.dtype not in (np.int8, np.uint8):
            return f"its weight '{w.name}' is quantized to {w.const.data.dtype}"
        if w.const.axis not in (None, axis):
            return f"the scales of its weight '{w.name}' run along axis {w.const.axis}, not {axis}"
    elif w.const.dtype != np.float32 and not in_halves(w.const):
        return f"its weight '{w.name}' is of type {w.const.dtype}, not float32"
    return None


def output_channels(product: Node, w: Value) -> int:
    """Return how many channels a convolution, transposed or not, computes with this weight."""
    dims = w.shape or (0, 0)
    if product.is_preset("conv_transpose"):
        return int(dims[1] or 0) * int(product.attrs["group"])
    return int(dims[0] or 0)


def per_channel(
    constant: Constant, channels: int, *, rank: int | None, axis: int
) -> np.ndarray | None:
    """Return a constant as one number for each channel, or None when it is something else.

    Parameters
    ----------
    rank : int or None
        Axes of the tensor that the constant is broadcast against; None when unknown, and then a
        constant of more than one axis is not accepted: it might add axes to the result.
    axis : int
        The tensor's channel axis, counted from the end (negative).
    """
    if isinstance(constant, Quantized) or constant.dtype != np.float32:
        return None
    dims = constant.shape
    if rank is None:
        if len(dims) > 1 or axis != -1:
            return None
    elif len(dims) > rank:
        return None
    if constant.size == 1:
        return np.full(channels, constant.reshape(()), np.float32)
    if len(dims) < -axis or dims[axis] != channels or constant.size != channels:
        return None
    return constant.reshape(channels)
