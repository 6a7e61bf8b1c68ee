"""Run a model over calibration feeds and keep a histogram of the values that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pycompress.calibration.histogram import Histogram
from pycompress.kernels.cpu import usable_cpus

if TYPE_CHECKING:
    from pycompress.calibration.feeds import Feed
    from pycompress.calibration.moments import Moments

Run: TypeAlias = "Callable[[Feed], list[np.ndarray]]"
"""Runs a model on one feed and returns the values that it was built to return, in order."""


def collect(
    run: Run,
    names: Sequence[str],
    stream: Iterable[Feed],
    moments: Mapping[str, Sequence[Moments]] | None = None,
    histograms: dict[str, Histogram] | None = None,
) -> dict[str, Histogram]:
    """Return a histogram for each name over a stream of feeds, in bounded memory.

    Parameters
    ----------
    run : callable
        Returns the arrays of `watched`, in that order. Non-float arrays are not observed.
    names : sequence of str
    stream : iterable of dict
        Read once; nothing of it is kept.
    moments : dict, optional
        By name: what else takes a value in.
    histograms : dict, optional
        Those of an earlier part of the stream: they are gone on with.
    """
    if histograms is None:
        histograms = {name: Histogram() for name in names}
    moments = moments or {}

    def take(seen: tuple[str, np.ndarray]) -> None:
        name, tensor = seen
        if np.issubdtype(tensor.dtype, np.floating):
            if name in histograms:
                histograms[name].update(tensor)
            for second in moments.get(name, ()):
                second.update(tensor)

    # each value has observers of its own, so values can be taken in side by side
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for feed in stream:
            list(pool.map(take, zip(watched(names, moments), run(feed), strict=True)))
    return histograms


def watched(names: Iterable[str], moments: Iterable[str]) -> list[str]:
    """Return the names of all values that `collect` asks for."""
    return list(dict.fromkeys([*names, *moments]))
