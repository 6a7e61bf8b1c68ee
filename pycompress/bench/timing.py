"""Times of calls that take turns, so that a slow moment of the machine falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SAMPLE = 1e-3
"""Seconds that one sample lasts at least: shorter ones would measure the clock."""

FEWEST, MOST = 5, 2000
"""Samples of each call."""


@dataclass(frozen=True)
class Times:
    """Seconds of one call, over many samples.

    Attributes
    ----------
    median, low, high, best : float
        `low` and `high` are the quartiles.
    samples : int
    """

    median: float
    low: float
    high: float
    best: float
    samples: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """Sum up samples; at least one."""
        if len(seconds) == 1:
            low = middle = high = seconds[0]
        else:
            low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(middle, low, high, min(seconds), len(seconds))

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class Turn:
    """One of the calls that take turns.

    Attributes
    ----------
    enter : callable
        Called before each sample, outside of the time: chooses threads and instruction set.
    call : callable
        What is timed.
    """

    enter: Callable[[], None]
    call: Callable[[], object]


def in_turns(
    turns: Sequence[Turn], seconds: float, between: Callable[[], None]
) -> list[list[float]]:
    """Sample each call again and again until all together have had their time.

    Parameters
    ----------
    turns
        What to time.
    seconds
        For each of them.
    between
        Called after every round.

    Returns
    -------
    list of lists of float
        Seconds of one call in each sample, in the order of `turns`.
    """
    loops = [_loops(turn) for turn in turns]
    samples: list[list[float]] = [[] for _ in turns]
    end = time.perf_counter() + seconds * len(turns)
    while len(samples[0]) < FEWEST or (time.perf_counter() < end and len(samples[0]) < MOST):
        for turn, count, found in zip(turns, loops, samples, strict=True):
            turn.enter()
            turn.call()  # brings its operands into the caches, and its threads to life
            found.append(_seconds(turn.call, count) / count)
        between()
    return samples


def _loops(turn: Turn) -> int:
    """Return how many calls fill a sample."""
    turn.enter()
    turn.call()
    count = 1
    while True:
        seconds = _seconds(turn.call, count)
        if seconds >= SAMPLE:
            return count
        count = max(2 * count, int(count * SAMPLE / max(seconds, 1e-7)))


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start
