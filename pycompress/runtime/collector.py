"""Python's garbage collector, while a session is built."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile.

    A graph is thousands of objects that all live until it is built, and each few hundred of them
    start a walk over everything that the process holds: a tenth of the time to load.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
