"""Which range of a tensor the integers cover: four ways to choose it from a histogram.

Each way returns ``(low, high)`` with ``low <= 0 <= high``, so that zero has an integer of its own
(padding and ReLU need it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.calibration.histogram import Histogram

Range: TypeAlias = tuple[float, float]
RangeMethod: TypeAlias = Literal["minmax", "percentile", "mse", "entropy"]

LEVELS = 255
"""Steps between the 256 values of an 8-bit integer."""


def minmax(histogram: Histogram) -> Range:
    """Cover everything that was seen."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile(histogram: Histogram, keep: float = 0.9999) -> Range:
    """Cover the share `keep` of the values, cutting the same share off either end.

    An end is cut at the edge of a bin, outwards, and never beyond what was seen.
    """
    low, high = minmax(histogram)
    if histogram.total == 0:
        return low, high
    width = 2.0**histogram.exponent
    cumulative = np.cumsum(histogram.counts)
    tail = (1.0 - keep) / 2 * histogram.total
    first = int(np.searchsorted(cumulative, tail, side="right"))
    last = int(np.searchsorted(cumulative, histogram.total - tail, side="left"))
    return (
        max(low, min((histogram.first + first) * width, 0.0)),
        min(high, max((histogram.first + last + 1) * width, 0.0)),
    )


def mse(histogram: Histogram) -> Range:
    """Cover the range that makes the mean squared error of 8-bit values smallest.

    Notes
    -----
    The two ends are moved in turn over a grid of shares of what was seen. Inside the range the
    error of a step ``s`` is ``s * s / 12`` per value (an exact zero has none); outside it is the
    square of the distance to the end.
    """
    low, high = minmax(histogram)
    if histogram.total == 0 or low == high:
        return low, high
    shares = np.linspace(1.0, 0.2, 81)
    best = (low, high)
    for _ in range(2):
        best = _best_of(histogram, [(low * share, best[1]) for share in shares], best)
        best = _best_of(histogram, [(best[0], high * share) for share in shares], best)
    return best


def entropy(histogram: Histogram) -> Range:
    """Cover the range whose 256 values tell most of what the values told.

    The divergence of the distribution after from the one before is made smallest: what is cut off
    counts for the outermost bins that stay, and each integer spreads what it holds evenly over the
    bins that had something.

    Notes
    -----
    Migacz, "8-bit inference with TensorRT" (GTC 2017): both ends are cut at the same magnitude.
    """
    low, high = minmax(histogram)
    if histogram.total == 0 or low == high:
        return low, high
    # zeros have an integer of their own, whatever the range
    counts = histogram.counts.astype(np.float64)
    at_zero = -histogram.first
    if 0 <= at_zero < counts.size:
        counts[at_zero] = max(counts[at_zero] - histogram.zeros, 0.0)
    centers = histogram.centers()
    best, least = (low, high), np.inf
    for threshold in max(-low, high) * np.linspace(1.0, 0.05, 96):
        candidate = (max(low, -float(threshold)), min(high, float(threshold)))
        divergence = _divergence(counts, centers, *candidate)
        if divergence < least:
            best, least = candidate, divergence
    return best


def _divergence(counts: np.ndarray, centers: np.ndarray, low: float, high: float) -> float:
    inside = (centers >= low) & (centers <= high)
    if not counts[inside].any():
        return float("inf")
    kept = counts[inside]
    before = kept.copy()
    before[0] += counts[centers < low].sum()
    before[-1] += counts[centers > high].sum()
    level = np.minimum(((centers[inside] - low) / (high - low) * 256).astype(np.int64), 255)
    filled = (before > 0).astype(np.float64)
    held = np.bincount(level, kept, minlength=256)
    bins = np.bincount(level, filled, minlength=256)
    after = np.where(filled > 0, held[level] / np.maximum(bins[level], 1.0), 0.0)
    p, q = before[filled > 0] / before.sum(), after[filled > 0]
    # what only the cut part fills has nothing left: it costs as if it were one value
    q = np.maximum(q, 1e-3) / np.maximum(q, 1e-3).sum()
    return float(np.sum(p * np.log(p / q)))


def _best_of(histogram: Histogram, candidates: list[Range], current: Range) -> Range:
    """Return the candidate with the least error; the widest among equals."""
    if candidates[0][0] == candidates[-1][0] and candidates[0][1] == candidates[-1][1]:
        return current
    errors = [_error(histogram, low, high) for low, high in candidates]
    return candidates[int(np.argmin(errors))]


def _error(histogram: Histogram, low: float, high: float) -> float:
    """Sum of squared errors when low to high is cut into LEVELS steps."""
    step = (high - low) / LEVELS
    centers = histogram.centers()
    outside = np.maximum(centers - high, 0.0) + np.maximum(low - centers, 0.0)
    inside = float(histogram.counts[outside == 0].sum()) - histogram.zeros
    return max(inside, 0.0) * step * step / 12 + float(histogram.counts @ (outside * outside))


METHODS: dict[RangeMethod, Callable[[Histogram], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
