"""What a report shows of ranges, and of other ways in which the model could be converted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompress.calibration import Histogram, Range

BARS = 64
"""Most bars of a histogram in a report."""


@dataclass(frozen=True)
class RangeView:
    """What calibration saw of a value, and the range that its integers cover.

    Attributes
    ----------
    value : str
    low, high : float
        The range; what lies outside saturates.
    seen_low, seen_high : float
    clipped : float
        Share of the elements in bins that lie outside of the range.
    start, width : float
        Where the first bar begins, and how wide each is.
    counts : tuple of int
    """

    value: str
    low: float
    high: float
    seen_low: float
    seen_high: float
    clipped: float
    start: float
    width: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Alternative:
    """One way of converting the model, with what it came to.

    Attributes
    ----------
    name : str
    bytes : int
        Of the constants.
    run_ms : float
        In our session on one thread; NaN when it was not timed.
    share : float
        Of what the bounds allow, how much it uses up on the held-back feeds.
    chosen : bool
    """

    name: str
    bytes: int
    run_ms: float
    share: float
    chosen: bool


def range_views(
    histograms: Mapping[str, Histogram], ranges: Mapping[str, Range]
) -> tuple[RangeView, ...]:
    """Return a view for each value that has a range."""
    return tuple(
        _view(name, histograms[name], *ranges[name]) for name in ranges if name in histograms
    )


def _view(name: str, histogram: Histogram, low: float, high: float) -> RangeView:
    centers = histogram.centers()
    outside = int(histogram.counts[(centers < low) | (centers > high)].sum())
    # the bins are aligned at zero, and so are the bars that they are gathered into
    shift = 0
    last = histogram.first + histogram.counts.size - 1
    while (last >> shift) - (histogram.first >> shift) >= BARS:
        shift += 1
    first = histogram.first >> shift
    bars = np.zeros((last >> shift) - first + 1, np.int64)
    places = (np.arange(histogram.counts.size) + histogram.first) >> shift
    np.add.at(bars, places - first, histogram.counts)
    width = 2.0 ** (histogram.exponent + shift)
    return RangeView(
        name,
        low,
        high,
        histogram.low,
        histogram.high,
        outside / histogram.total if histogram.total else 0.0,
        first * width,
        width,
        tuple(int(count) for count in bars),
    )
