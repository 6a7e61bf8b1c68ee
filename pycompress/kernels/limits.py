"""What this machine could do at most: loops of one instruction, and sweeps over memory."""

from __future__ import annotations

from dataclasses import dataclass

from pycompress import _core

__all__ = ["TRAFFIC_STEP", "PeakLoop", "peak_loops", "peak_rates", "traffic_loops", "traffic_rates"]

TRAFFIC_STEP = 1024
"""A sweep covers a multiple of so many bytes."""

_MOVED = {"read": 1.0, "write": 1.0, "narrow": 1.25, "narrow_past_cache": 1.25}
"""Bytes that a sweep moves for each of its bytes: narrowing writes a quarter of what it reads."""


@dataclass(frozen=True)
class PeakLoop:
    """A loop of products and sums in registers.

    Attributes
    ----------
    isa, type, instruction : str
        Such as "avx512_vnni", "int8" and "vpdpbusd zmm".
    operations : int
        Of one pass; a product and its addition count as two.
    """

    isa: str
    type: str
    instruction: str
    operations: int


def peak_loops() -> list[PeakLoop]:
    """List the peak loops that this CPU can run, best instruction set first.

    Returns
    -------
    list of PeakLoop
        Empty on a CPU whose only instruction set is "scalar".
    """
    return [PeakLoop(*row) for row in _core.limit_peaks()]


def peak_rates(loop: PeakLoop, passes: int, repeats: int) -> list[float]:
    """Time a peak loop on all threads at once.

    Parameters
    ----------
    loop
        One of :func:`peak_loops`.
    passes
        Of each thread in each repeat.
    repeats
        How many rates to return.

    Returns
    -------
    list of float
        Operations per second, of all threads together.
    """
    work = loop.operations * passes * _core.get_num_threads()
    return [work / s for s in _core.time_peak(loop.isa, loop.type, passes, repeats)]


def traffic_loops() -> list[tuple[str, str]]:
    """List the sweeps over memory that this CPU can run, best instruction set first.

    Returns
    -------
    list of (isa, kind)
        Kinds: "read"; "write"; "narrow", which writes a quarter of what it reads, as float32 to
        int8 does; "narrow_past_cache", the same with stores that leave the caches alone.
    """
    return _core.limit_traffic()


def traffic_rates(isa: str, kind: str, size: int, passes: int, repeats: int) -> list[float]:
    """Time sweeps over memory on all threads at once, each over memory of its own.

    Parameters
    ----------
    isa, kind
        One of :func:`traffic_loops`.
    size
        Bytes of one sweep of one thread, a multiple of `TRAFFIC_STEP`.
    passes
        Sweeps of each thread in each repeat.
    repeats
        How many rates to return.

    Returns
    -------
    list of float
        Bytes read and written per second, by all threads together.

    Raises
    ------
    ValueError
        This CPU has no such loop, or `size` does not fit.
    """
    moved = size * _MOVED[kind] * passes * _core.get_num_threads()
    return [moved / s for s in _core.time_traffic(isa, kind, size, passes, repeats)]
