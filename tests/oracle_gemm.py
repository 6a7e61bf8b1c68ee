"""What packed products mean, in NumPy and without a thought for speed."""

import numpy as np


def qgemm(a, w, a_zero=0, w_zero=0):
    """(a - a_zero) . (w - w_zero), exact: int64, then as int32."""
    a = a.astype(np.int64) - np.asarray(a_zero, np.int64).reshape(-1, 1)
    w = w.astype(np.int64) - np.asarray(w_zero, np.int64)
    sums = a @ w
    assert abs(sums).max(initial=0) < 2**31
    return sums.astype(np.int32)


def divided(a, b):
    """a / b of float32 values, rounded to float32 once."""
    return np.float32(np.float64(a) / np.float64(b))


def qlinear(
    a,
    w,
    w_scale,
    a_scale,
    a_zero=0,
    w_zero=0,
    bias=None,
    y_scale=None,
    y_zero=0,
    y_dtype=np.uint8,
    low=-np.inf,
    high=np.inf,
    residual=None,
    residual_scale=1.0,
    residual_zero=0,
):
    """The epilogue of a layer, step by step in float32, in units of the output."""
    unit = 1.0 if y_scale is None else np.float32(y_scale)
    a_scale = np.asarray(a_scale, np.float32)
    acc = qgemm(a, w, a_zero, w_zero).astype(np.float32)
    if a_scale.size == 1:
        v = acc * divided(np.float64(a_scale) * np.asarray(w_scale, np.float64), unit)
    else:
        v = acc * divided(np.asarray(w_scale, np.float32), unit) * a_scale[:, None]
    if bias is not None:
        v = v + divided(bias, unit)
    if residual is not None and y_scale is None:
        v = v + residual
    elif residual is not None:
        real = (residual.astype(np.int32) - residual_zero).astype(np.float32)
        v = v + real * divided(np.float32(residual_scale), unit)
    v = np.minimum(np.maximum(v, divided(low, unit)), divided(high, unit))
    if y_scale is None:
        return v
    limits = np.iinfo(y_dtype)
    q = np.rint(np.clip(v, -1e6, 1e6)).astype(np.int64) + y_zero
    return np.clip(q, limits.min, limits.max).astype(y_dtype)


def dynamic_quantize(x):
    """ONNX DynamicQuantizeLinear."""
    low = np.minimum(np.float32(0), x.min(initial=0))
    high = np.maximum(np.float32(0), x.max(initial=0))
    scale = np.float32(1) if low == high else np.float32((high - low) / np.float32(255))
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8), scale, zero
