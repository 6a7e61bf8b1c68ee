"""Which range of a tensor the integers cover: three ways to choose it from a histogram.

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
RangeMethod: TypeAlias = Literal["minmax", "percentile", "mse"]

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
}
