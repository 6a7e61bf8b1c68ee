"""What a step says of its nodes."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """What one node took while it was timed: in all, and in its last call.

    Attributes
    ----------
    calls : int
    seconds : float
        Of all calls.
    start, last : float
        When the last call began (`time.perf_counter`), and its seconds.
    shape : tuple of int
        Of the first output of the last call.
    engine : str
        What ran it.
    """

    name: str
    op: str
    calls: int = 0
    seconds: float = 0.0
    start: float = 0.0
    last: float = 0.0
    shape: tuple[int, ...] = ()
    engine: str = "native"

    def after(self, start: float, seconds: float, shape: tuple[int, ...]) -> Row:
        """Return the row with one call more."""
        done = self.calls + 1, self.seconds + seconds
        return Row(self.name, self.op, *done, start, seconds, shape, self.engine)
