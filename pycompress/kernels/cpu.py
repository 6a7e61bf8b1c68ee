"""Which instruction set runs, and on how many threads."""

from __future__ import annotations

import os

from pycompress import _core


def isa() -> str:
    """Name the instruction set in use: the best one of this CPU, unless another was asked for.

    Returns
    -------
    str
        One of :func:`available_isas`.

    Notes
    -----
    The environment variable ``PYCOMPRESS_ISA`` chooses one when the first kernel runs.
    """
    return _core.isa()


def available_isas() -> list[str]:
    """List the instruction sets that this CPU can run, best first.

    Returns
    -------
    list of str
        For example ``["avx512_vnni", "avx2", "scalar"]``.
    """
    return _core.available_isas()


def use_isa(name: str) -> None:
    """Choose the instruction set of everything that is packed or built from now on.

    Parameters
    ----------
    name
        One of :func:`available_isas`. Weights that are packed already keep theirs.

    Raises
    ------
    ValueError
        This CPU cannot run it, or nobody knows it.
    """
    _core.use_isa(name)


def set_num_threads(threads: int) -> None:
    """Choose how many threads a kernel may use, the caller's among them.

    Parameters
    ----------
    threads
        1 or more. Results do not depend on it. Sessions have their own.

    Raises
    ------
    ValueError
        `threads` is less than 1.
    """
    _core.set_num_threads(threads)


def get_num_threads() -> int:
    """Say how many threads a kernel may use: at first as many as this process has CPUs.

    Returns
    -------
    int
        The number, the caller's thread included.
    """
    return _core.get_num_threads()


def usable_cpus() -> int:
    """Count the CPUs that this process may use, or all of them where the system does not say.

    Returns
    -------
    int
        1 or more.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
