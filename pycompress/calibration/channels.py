"""What calibration remembers of each channel of a tensor: bounds, mean square, and some rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SAMPLED = 64
"""Rows that are kept of one tensor, evenly spread over it."""

KEPT = 1024
"""Rows that are kept of all."""


@dataclass
class Channels:
    """Bounds, mean squares and some rows of a stream of tensors, channel by channel.

    Parts of a stream can be merged: bounds and squares are those of one pass over all of it.

    Attributes
    ----------
    axis : int
        Along which the channels lie.
    low, high : ndarray of float32, shape (channels,)
        Smallest and largest value of each channel; empty before the first tensor.
    squares : ndarray of float64, shape (channels,)
        Sums of squares.
    rows : int
        How many values of each channel were seen.
    sample : list of ndarray, shape (rows, channels)
        Some of them, whole.
    """

    axis: int
    low: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rows: int = 0
    sample: list[np.ndarray] = field(default_factory=list)

    def update(self, tensor: np.ndarray) -> None:
        """Take a tensor in; rows that are not finite are left out."""
        channels = tensor.shape[self.axis]
        rows = np.moveaxis(np.asarray(tensor, np.float32), self.axis, -1).reshape(-1, channels)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            rows = rows[finite]
        if rows.size == 0:
            return
        squares = np.einsum("rc,rc->c", rows, rows, dtype=np.float64)
        count = min(SAMPLED, rows.shape[0], max(KEPT - sum(map(len, self.sample)), 0))
        some = rows[np.linspace(0, rows.shape[0] - 1, count).astype(int)]
        sample = [some.copy()] if count else []
        self.merge(Channels(self.axis, rows.min(0), rows.max(0), squares, rows.shape[0], sample))

    def merge(self, other: Channels) -> None:
        """Add what another observer has seen."""
        if not other.rows:
            return
        if self.rows:
            self.low = np.minimum(self.low, other.low)
            self.high = np.maximum(self.high, other.high)
            self.squares = self.squares + other.squares
        else:
            self.low, self.high, self.squares = other.low, other.high, other.squares
        self.rows += other.rows
        left = KEPT - sum(map(len, self.sample))
        for part in other.sample:
            if left > 0:
                self.sample.append(part[:left])
                left -= len(part)

    def largest(self) -> np.ndarray:
        """Return the largest magnitude of each channel, float64."""
        largest: np.ndarray = np.maximum(np.abs(self.low), np.abs(self.high)).astype(np.float64)
        return largest

    def matrix(self) -> np.ndarray:
        """Return the sampled rows, float64."""
        return np.concatenate(self.sample).astype(np.float64)
