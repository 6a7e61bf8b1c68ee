"""Keep NumPy's OpenBLAS from using threads of its own.

Between products OpenBLAS's threads spin, waiting for more. Many middling products in a row, on a
machine that does something else as well, then take many times as long as on one thread.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAPS = Path("/proc/self/maps")
"""What is loaded into this process, as Linux says it."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let each OpenBLAS in this process run on its caller's thread for a while.

    Other libraries of that kind are left as they are.
    """
    libraries = _libraries()
    before = [count() for count, _ in libraries]
    for _, put in libraries:
        put(1)
    try:
        yield
    finally:
        for (_, put), threads in zip(libraries, before, strict=True):
            put(threads)


@cache
def _libraries() -> list[tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer]]:
    """Return how each OpenBLAS tells and takes its number of threads."""
    if not MAPS.is_file():
        return []
    mapped = {line.split(maxsplit=5)[-1] for line in MAPS.read_text().splitlines() if "/" in line}
    found = []
    for path in sorted(mapped):
        if "openblas" not in Path(path).name:
            continue
        library = ctypes.CDLL(path)
        # wheels of NumPy name theirs apart, so that two versions can live in one process
        for before, after in product(("", "scipy_"), ("", "64_")):
            names = [f"{before}openblas_{verb}_num_threads{after}" for verb in ("get", "set")]
            if all(hasattr(library, name) for name in names):
                found.append((library[names[0]], library[names[1]]))
    return found
