"""What calibration remembers of a tensor: exact bounds and a histogram, in a few kilobytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BINS = 2048
SMALLEST_EXPONENT = -140
"""Bins are never finer than 2**-140: what is below is zero for every purpose here."""


@dataclass
class Histogram:
    """Counts of a stream's finite values, in bins a power of two wide with an edge at zero.

    Because edges are aligned at zero, a coarser histogram is an exact sum of a finer one, and the
    width depends only on the bounds of what was seen: merging the parts of a stream in any order
    equals one pass over all of it, bin for bin.

    Attributes
    ----------
    low, high : float
        Smallest and largest finite value seen; 0 and 0 before the first.
    exponent : int
        A bin is ``2**exponent`` wide.
    first : int
        Index of the first bin of `counts`: it starts at ``first * 2**exponent``.
    counts : ndarray of int64
    total, zeros, non_finite : int
        Finite values, exact zeros among them, and values that are infinite or NaN (kept out of
        everything else).
    """

    low: float = 0.0
    high: float = 0.0
    exponent: int = SMALLEST_EXPONENT
    first: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    total: int = 0
    zeros: int = 0
    non_finite: int = 0

    def update(self, tensor: np.ndarray) -> None:
        """Add every element of a tensor of any shape and real dtype."""
        values = np.asarray(tensor, np.float32).ravel()
        finite = np.isfinite(values)
        if not finite.all():
            self.non_finite += int(values.size - finite.sum())
            values = values[finite]
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        self._cover(low, high)
        # a power-of-two factor: the product is exact in float64, so a value falls into the same bin
        # at any width
        index = np.floor(values.astype(np.float64) * 2.0**-self.exponent).astype(np.int64)
        self.counts += np.bincount(index - self.first, minlength=self.counts.size)
        self.total += values.size
        self.zeros += int(values.size - np.count_nonzero(values))

    def merge(self, other: Histogram) -> None:
        """Add what another histogram has seen."""
        self.non_finite += other.non_finite
        if other.total == 0:
            return
        self._cover(other.low, other.high)
        shift = self.exponent - other.exponent
        if shift < 0:
            msg = "internal: a merged range is narrower than one of its parts"
            raise AssertionError(msg)
        index = (np.arange(other.counts.size, dtype=np.int64) + other.first) >> shift
        np.add.at(self.counts, index - self.first, other.counts)
        self.total += other.total
        self.zeros += other.zeros

    def centers(self) -> np.ndarray:
        """Return the middle of each bin, float64."""
        return (np.arange(self.counts.size) + self.first + 0.5) * 2.0**self.exponent

    def _cover(self, low: float, high: float) -> None:
        """Widen bounds and bins so that `low` and `high` have a bin."""
        if self.total:
            low, high = min(low, self.low), max(high, self.high)
        exponent = max(_needed_exponent(low, high), SMALLEST_EXPONENT)
        first, last = _bin(low, exponent), _bin(high, exponent)
        counts = np.zeros(last - first + 1, np.int64)
        if self.total:
            index = (np.arange(self.counts.size, dtype=np.int64) + self.first) >> (
                exponent - self.exponent
            )
            np.add.at(counts, index - first, self.counts)
        self.low, self.high, self.exponent, self.first, self.counts = (
            low,
            high,
            exponent,
            first,
            counts,
        )


def _bin(value: float, exponent: int) -> int:
    return int(np.floor(np.ldexp(value, -exponent)))


def _needed_exponent(low: float, high: float) -> int:
    """Return the smallest exponent at which `low` to `high` fit into the bins."""
    span = high - low
    exponent = SMALLEST_EXPONENT
    if span > 0:
        exponent = max(int(np.ceil(np.log2(span / BINS))) - 1, SMALLEST_EXPONENT)
    # a constant far from zero: its bin index has to fit an int64
    largest = max(abs(low), abs(high))
    if largest > 0:
        exponent = max(exponent, int(np.frexp(largest)[1]) - 40)
    while _bin(high, exponent) - _bin(low, exponent) >= BINS:
        exponent += 1
    return exponent
