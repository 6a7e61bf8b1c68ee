"""What products with 4-bit weights mean, in NumPy and without a thought for speed."""

import numpy as np

SMALLEST = np.float32(2.0**-119)


def fma(a, b, c):
    """a * b + c of float32 arrays whose product fits float64, rounded to float32 once."""
    product = a.astype(np.float64) * b.astype(np.float64)
    c = c.astype(np.float64)
    total = product + c
    # What the sum lost, exactly; an even last bit then moves towards it, which rounding again
    # cannot mistake for a tie ("round to odd").
    back = total - product
    lost = (product - (total - back)) + (c - back)
    even = total.view(np.int64) % 2 == 0
    moved = np.nextafter(total, np.copysign(np.inf, lost))
    return np.where((lost != 0) & even, moved, total).astype(np.float32)


def unpack(data, k):
    """Values [N, K padded] of bytes [N, blocks, block / 2]."""
    q = np.stack([data & 15, data >> 4], axis=-1).reshape(data.shape[0], -1)
    assert q.shape[1] >= k
    return q.astype(np.int64)


def quantize_rows(a, block):
    """Values [M, blocks, block] and scales [M, blocks] of float32 rows."""
    m, k = a.shape
    blocks = -(-k // block)
    padded = np.zeros((m, blocks * block), np.float32)
    padded[:, :k] = a
    parts = padded.reshape(m, blocks, block)
    finite = np.isfinite(parts).all(axis=2)
    largest = np.where(finite, np.abs(np.where(finite[..., None], parts, 0)).max(axis=2), 0)
    usable = largest >= SMALLEST
    top = np.where(usable, largest, np.float32(1)).astype(np.float32)
    scaled = np.where(usable[..., None], parts, 0) * (np.float32(127) / top)[..., None]
    scale = np.where(usable, top / np.float32(127), np.float32(0)).astype(np.float32)
    return np.rint(scaled).astype(np.int64), np.where(finite, scale, np.float32(np.nan))


def gemm(a, data, scale, zero_point, bias=None):
    """a [M, K] . w [K, N] + bias."""
    m, k = a.shape
    n, blocks, half = data.shape
    block = 2 * half
    p, a_scale = quantize_rows(a, block)
    q = unpack(data, k).reshape(n, blocks, block)
    zeros = np.full((n, blocks), 8) if zero_point is None else zero_point.astype(np.int64)
    total = np.zeros((m, n), np.float32)
    for i in range(blocks):
        dots = p[:, i] @ (q[:, i] - zeros[:, i, None]).T
        total = fma(dots.astype(np.float32), a_scale[:, i, None] * scale[:, i], total)
    return total if bias is None else total + bias
