"""The 8-bit parameters of activations and biases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.weights import SMALLEST_SCALE, round_to_int8
from pycompress.graph.ir import Quantized

if TYPE_CHECKING:
    from pycompress.calibration import Range

INT32_MAX = 2**31 - 1
WORST_PRODUCT = 255 * 127


@dataclass(frozen=True)
class Affine:
    """``value = (q - zero_point) * scale`` with q in uint8.

    Attributes
    ----------
    scale : float32
    zero_point : int, 0 to 255
    """

    scale: np.float32
    zero_point: int


def affine(bounds: Range) -> Affine:
    """Return the u8 parameters that cover a range; zero has an integer of its own.

    Raises
    ------
    ValueError
        The range is not finite, or wider than float32 holds.
    """
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    span = high - low
    if not math.isfinite(span) or span > float(np.finfo(np.float32).max):
        msg = f"a range of {bounds[0]:g} to {bounds[1]:g} has no 8-bit scale"
        raise ValueError(msg)
    if span == 0.0:  # nothing but zeros was seen
        return Affine(np.float32(1.0), 0)
    scale = np.float32(max(span / 255.0, SMALLEST_SCALE))
    return Affine(scale, int(np.clip(np.rint(-low / float(scale)), 0, 255)))


def quantize_bias(
    bias: np.ndarray, x_scale: np.float32, weight: Quantized, original: np.ndarray
) -> tuple[Quantized, Quantized]:
    """Return the bias in int32, in units of x scale * weight scale, and weights that fit it.

    A channel whose bias would overflow, together with the largest sum that its depth allows, gets a
    wider weight scale: its weights are then tiny beside its bias, so what they lose does not show.
    A channel of zero weights is free to take whatever scale represents its bias best.

    Parameters
    ----------
    bias : ndarray of float32, shape (channels,)
    x_scale : float32
    weight : Quantized
        Per channel along `weight.axis`.
    original : ndarray of float32
        What `weight` was made from: channels that change are rounded again from it.

    Returns
    -------
    bias, weight : Quantized
    """
    axis = weight.axis or 0
    rows = np.moveaxis(np.asarray(original, np.float32), axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    limit = max(INT32_MAX - flat.shape[1] * WORST_PRODUCT, 1 << 20)
    wide = np.abs(bias.astype(np.float64))
    needed = wide / (float(x_scale) * limit)
    empty = ~flat.any(axis=1)
    scale = np.where(
        empty & (wide > 0), wide / (float(x_scale) * 2**24), weight.scale.astype(np.float64)
    )
    scale = np.maximum(np.maximum(scale, needed * (1 + 1e-6)), SMALLEST_SCALE).astype(np.float32)
    changed = scale != weight.scale
    if changed.any():
        data = np.moveaxis(weight.data, axis, 0).reshape(flat.shape).copy()
        data[changed] = round_to_int8(flat[changed], scale[changed])
        integers = np.ascontiguousarray(np.moveaxis(data.reshape(rows.shape), 0, axis))
        weight = Quantized(integers, scale, weight.zero_point, weight.axis)
    # the unit is what a reader of the file computes: a float32 product
    unit = np.float32(x_scale) * scale
    unit = np.maximum(unit, np.float32(SMALLEST_SCALE))
    units = np.clip(np.rint(bias.astype(np.float64) / unit), -INT32_MAX, INT32_MAX).astype(np.int32)
    return Quantized(units, unit.astype(np.float32), np.zeros(unit.shape, np.int32), 0), weight
