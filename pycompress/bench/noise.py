"""Is the machine quiet? One loop that never changes, timed again and again beside the work."""

from __future__ import annotations

import statistics

import pycompress
from pycompress.kernels import limits

QUIET = 0.05
"""What the loop may lose, from its best to its median, on a machine that has nothing else to do."""

_SECONDS = 2e-4


class Probe:
    """Times the peak loop of the best instruction set, on one thread."""

    def __init__(self) -> None:
        self._loop = next(iter(limits.peak_loops()), None)
        self._rates: list[float] = []
        self._passes = 1000
        if self._loop is not None:
            rate = max(self._run(50))
            self._passes = max(1, int(rate * _SECONDS / self._loop.operations))

    def __call__(self) -> None:
        """Take one sample."""
        if self._loop is not None:
            self._rates += self._run(1)

    def noise(self) -> float | None:
        """Return what the median lost against the best; None where nothing was sampled."""
        if not self._rates:
            return None
        return 1 - statistics.median(self._rates) / max(self._rates)

    def _run(self, repeats: int) -> list[float]:
        before = pycompress.get_num_threads()
        pycompress.set_num_threads(1)
        try:
            return limits.peak_rates(self._loop, self._passes, repeats) if self._loop else []
        finally:
            pycompress.set_num_threads(before)
