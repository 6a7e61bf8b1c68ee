"""What a convolution is, in NumPy: a sum over taps, channels last, any number of dimensions."""

from __future__ import annotations

from itertools import product

import numpy as np


def windows(size, kernel, stride, dilation, begin, end):
    """Return how many windows fit along one dimension."""
    return (size + begin + end - (kernel - 1) * dilation - 1) // stride + 1


def conv(x, w, *, strides=None, pads=None, dilations=None, group=1):
    """Convolve x [N, spatial..., C] with w [O, C / group, k...]; zeros around x. Any dtype."""
    rank = w.ndim - 2
    strides = strides or [1] * rank
    dilations = dilations or [1] * rank
    pads = pads or [0] * (2 * rank)
    around = [(0, 0), *zip(pads[:rank], pads[rank:], strict=True), (0, 0)]
    padded = np.pad(x, around)
    out = [
        windows(x.shape[i + 1], w.shape[i + 2], strides[i], dilations[i], pads[i], pads[rank + i])
        for i in range(rank)
    ]
    filters, depth = w.shape[0] // group, w.shape[1]
    y = np.zeros([x.shape[0], *out, w.shape[0]], np.result_type(x, w))
    for tap in product(*map(range, w.shape[2:])):
        at = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, out, strides, strict=True)
        )
        part = padded[(slice(None), *at)]
        for g in range(group):
            mine = slice(g * filters, (g + 1) * filters)
            weights = w[(mine, slice(None), *tap)]
            y[..., mine] += part[..., g * depth : (g + 1) * depth] @ weights.T
    return y


def conv_sums(x, x_zero, w, w_zero=0, bias=None, **window):
    """Exact integer sums of (x - x_zero) * (w - w_zero), plus an integer bias."""
    zero = np.reshape(np.asarray(w_zero, np.int64), (-1,) + (1,) * (w.ndim - 1))
    sums = conv(x.astype(np.int64) - x_zero, w.astype(np.int64) - zero, **window)
    if bias is not None:
        sums = sums + bias
    assert np.abs(sums).max(initial=0) < 2**31
    return sums.astype(np.int32)


def multiplier(*factors, by=1.0):
    """Return the product of float32 factors over `by`, rounded to float32 once."""
    value = np.float64(1.0)
    for factor in factors:
        value = value * np.asarray(factor, np.float64)
    return (value / np.float64(by)).astype(np.float32)


def finish(sums, scale, bias=None, residual=None, lo=-np.inf, hi=np.inf):
    """float(sums) * scale + bias + residual, clamped: each step in float32."""
    v = sums.astype(np.float32) * scale
    for term in (bias, residual):
        if term is not None:
            v = v + term
    return np.clip(v, np.float32(lo), np.float32(hi))


def requantize(v, zero, dtype):
    """Round half to even, add the zero point, saturate."""
    info = np.iinfo(dtype)
    return np.clip(np.rint(v).astype(np.float64) + zero, info.min, info.max).astype(dtype)
