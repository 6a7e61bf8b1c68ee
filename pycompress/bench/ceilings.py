"""How fast this machine could be: products per second, bytes per second, and what bounds a case.

A case has to make its operations and to move its bytes, and can't be faster than the slower of the
two (the roofline). Its bytes move at the speed of the smallest cache that holds them all, because
each call finds there what the one before has left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pycompress
from pycompress.kernels import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompress.bench.cases import Case

MEMORY = "memory"
LARGEST_CACHE_SWEEP, MEMORY_SWEEP = 6 << 20, 96 << 20
REPEATS, SECONDS = 15, 2e-3
"""Repeats of each loop, and how long one lasts at least."""

_KINDS = {"read": ("read",), "narrow": ("narrow", "narrow_past_cache"), "write": ("write",)}
"""Kinds of traffic, and the loops of which the fastest counts."""


@dataclass(frozen=True)
class Peak:
    """Operations per second of one instruction, in registers."""

    isa: str
    type: str
    instruction: str
    threads: int
    rate: float


@dataclass(frozen=True)
class Bandwidth:
    """Bytes per second of one kind of traffic at one level; `size` bytes fit there."""

    level: str
    size: int
    kind: str
    threads: int
    rate: float


@dataclass(frozen=True)
class Ceilings:
    """What was measured of the machine.

    Attributes
    ----------
    peaks : tuple of Peak
    bandwidths : tuple of Bandwidth
        Smallest level first.
    """

    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Ceilings:
        """Read what ``dataclasses.asdict`` wrote."""
        return cls(
            tuple(Peak(**row) for row in data["peaks"]),
            tuple(Bandwidth(**row) for row in data["bandwidths"]),
        )

    def peak(self, isa: str, kind: str, threads: int) -> float | None:
        """Return operations per second for operands of a type, None where it was not measured."""
        found = [p.rate for p in self.peaks if (p.isa, p.type, p.threads) == (isa, kind, threads)]
        return found[0] if found else None

    def bandwidth(self, size: int, kind: str, threads: int) -> Bandwidth:
        """Return the level that holds `size` bytes."""
        rows = [b for b in self.bandwidths if (b.kind, b.threads) == (kind, threads)]
        return next((row for row in rows if size <= row.size), rows[-1])

    def seconds(self, case: Case, isa: str, threads: int) -> tuple[float, str] | None:
        """Return the least that a case can take, and what bounds it.

        Returns
        -------
        (float, str) or None
            The text is the instruction's type or the level of memory. None where the instruction
            set has no peak to compare with ("scalar").
        """
        memory = self.bandwidth(case.bytes, "read" if case.operations else "narrow", threads)
        moving = case.bytes / memory.rate
        if not case.operations:
            return moving, memory.level
        peaks = ((self.peak(isa, kind, threads), kind) for kind in case.types)
        found = next(((rate, kind) for rate, kind in peaks if rate is not None), None)
        if found is None:
            return None
        return max((case.operations / found[0], found[1]), (moving, memory.level))


def measure(
    caches: dict[str, int], threads: tuple[int, ...], tell: Callable[[str], None]
) -> Ceilings:
    """Measure the ceilings of this machine.

    Parameters
    ----------
    caches : dict
        Bytes of "L1" to "L3".
    threads : tuple of int
        Thread counts to measure with.
    tell : callable
        Called with what is being measured.
    """
    before = pycompress.get_num_threads()
    peaks: list[Peak] = []
    bandwidths: list[Bandwidth] = []
    try:
        for count in threads:
            pycompress.set_num_threads(count)
            for loop in limits.peak_loops():
                tell(f"ceiling of {loop.instruction}")
                peaks.append(Peak(loop.isa, loop.type, loop.instruction, count, best_peak(loop)))
            for kind, names in _KINDS.items():
                for level, size, sweep in levels(caches, count):
                    tell(f"ceiling of {level}, {kind}")
                    rate = _best_traffic(names, sweep)
                    bandwidths.append(Bandwidth(level, size, kind, count, rate))
    finally:
        pycompress.set_num_threads(before)
    return Ceilings(tuple(peaks), tuple(bandwidths))


def levels(caches: dict[str, int], threads: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, bytes that fit (of all threads), and bytes that one thread sweeps over.

    The first two levels belong to a core, the third to all of them. A sweep has two buffers, and
    leaves room for what else is in a cache.
    """
    for level, size in caches.items():
        shared = level == "L3"
        sweep = min(size * 3 // 8 // (threads if shared else 1), LARGEST_CACHE_SWEEP)
        yield level, size if shared else size * threads, _whole(sweep)
    yield MEMORY, 1 << 62, _whole(MEMORY_SWEEP)


def best_peak(loop: limits.PeakLoop, repeats: int = REPEATS, seconds: float = SECONDS) -> float:
    """Return the highest rate of a peak loop."""
    passes = 1000
    while loop.operations * passes / limits.peak_rates(loop, passes, 1)[0] < seconds / 2:
        passes *= 2
    return max(limits.peak_rates(loop, passes, repeats))


def _best_traffic(kinds: tuple[str, ...], sweep: int) -> float:
    """Return the highest rate of all loops: the memory is the same, whatever asks for it."""
    loops = [(isa, kind) for isa, kind in limits.traffic_loops() if kind in kinds]
    return max(_traffic(isa, kind, sweep) for isa, kind in loops)


def _traffic(isa: str, kind: str, sweep: int) -> float:
    passes = 1
    while sweep * passes < SECONDS * limits.traffic_rates(isa, kind, sweep, passes, 2)[1] / 2:
        passes *= 2
    return max(limits.traffic_rates(isa, kind, sweep, passes, REPEATS))


def _whole(size: int) -> int:
    return max(size // limits.TRAFFIC_STEP, 1) * limits.TRAFFIC_STEP
