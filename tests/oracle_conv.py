"""NumPy definitions of convolution and pooling over NHWC, written as loops over output positions."""

from __future__ import annotations

import itertools

import numpy as np


def places(size, kernel, strides, pads, dilations):
    """Output sizes of a window (ONNX Conv-11, explicit padding)."""
    axes = len(size)
    return [
        (size[i] + pads[i] + pads[axes + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(axes)
    ]


def convolve(x, w, *, strides, pads, dilations, group, x_zero=0, w_zero=0):
    """Sum (x - x_zero) * (w - w_zero) in float64, exact for 8-bit operands; padding adds nothing.

    x: [N, spatial…, C]; w: [O, C / group, k…]; w_zero: a number or [O].
    """
    axes = x.ndim - 2
    kernel = w.shape[2:]
    zero = np.broadcast_to(np.asarray(w_zero, np.float64), (w.shape[0],))
    centred_w = w.astype(np.float64) - zero.reshape(-1, *[1] * (w.ndim - 1))
    padding = [(0, 0), *((pads[i], pads[axes + i]) for i in range(axes)), (0, 0)]
    centred_x = np.pad(x.astype(np.float64) - float(x_zero), padding)
    out = places(x.shape[1:-1], kernel, strides, pads, dilations)
    y = np.zeros((x.shape[0], *out, w.shape[0]))
    per_group_in, per_group_out = w.shape[1], w.shape[0] // group
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(tap, dilations, out, strides, strict=True)
        )
        seen = centred_x[(slice(None), *window)]
        for g in range(group):
            filters = slice(g * per_group_out, (g + 1) * per_group_out)
            channels = seen[..., g * per_group_in : (g + 1) * per_group_in]
            y[..., filters] += channels @ centred_w[(filters, slice(None), *tap)].T
    return y


def requantize(sums, multiplier, bias, zero, dtype, low=-np.inf, high=np.inf):
    """Saturate(round_half_even(clip(float32(sum) * m + bias)) + zero), each step rounded to float32."""
    v = sums.astype(np.int64).astype(np.float32) * multiplier.astype(np.float32)
    if bias is not None:
        v = (v + bias.astype(np.float32)).astype(np.float32)
    v = np.clip(v, np.float32(low), np.float32(high))
    info = np.iinfo(dtype)
    return np.clip(np.rint(v).astype(np.float64) + zero, info.min, info.max).astype(dtype)
