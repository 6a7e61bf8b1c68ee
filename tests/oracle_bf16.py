"""What rounding to bfloat16 means, in NumPy and without a thought for speed."""

import numpy as np


def rounded(x):
    """float32 to the nearest bfloat16, ties to even, found among the two neighbours."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32)
    low = (bits & np.uint32(0xFFFF0000)).view(np.float32)  # towards zero
    high = ((bits & np.uint32(0xFFFF0000)).astype(np.uint64) + 0x10000).astype(np.uint32)
    high = high.view(np.float32)
    # Beyond the largest bfloat16 lies what would be the next one, 2^128.
    far = np.where(
        np.isinf(high) & ~np.isinf(x),
        np.copysign(2.0**128, x.astype(np.float64)),
        high.astype(np.float64),
    )
    to_low, to_high = np.abs(x - low.astype(np.float64)), np.abs(far - x)
    even = (low.view(np.uint32) >> 16) % 2 == 0
    up = (to_high < to_low) | ((to_high == to_low) & ~even)
    return np.where(np.isnan(x) | np.isinf(x), x, np.where(up, high, low)).astype(np.float32)
