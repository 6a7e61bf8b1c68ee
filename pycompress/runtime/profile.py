"""What each node of a model takes: rows for a table, and a Chrome trace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from pycompress.runtime.row import Row

NATIVE = "native"
"""Where a node ran that the engine has a kernel for."""


@dataclass(frozen=True)
class NodeTime:
    """Time that one node took.

    Attributes
    ----------
    name, op : str
    ms : float
        Milliseconds of one call, on the mean.
    share : float
        Its part of what all nodes took, 0 to 1.
    shape : tuple of int
        Of its first output, in the last call.
    calls : int
    engine : str
        "native", or what ran a node that has no native kernel.
    """

    name: str
    op: str
    ms: float
    share: float
    shape: tuple[int, ...]
    calls: int
    engine: str


@dataclass(frozen=True)
class Event:
    """One call of one node; both times are in seconds of `time.perf_counter`."""

    row: NodeTime
    start: float
    seconds: float


class Profile:
    """Times of the nodes of a model.

    Attributes
    ----------
    rows : list of NodeTime
        The most expensive first. Nodes that did not run, or were computed while the run was
        planned (shape arithmetic), do not appear; neither do those that the next node computes
        along the way (a 1x1 convolution before a depthwise one), which has their time.
    events : list of Event
        The calls of the last run, in their order.
    """

    def __init__(self, measured: Iterable[Row], begin: float = 0.0) -> None:
        called = [row for row in measured if row.calls > 0]
        whole = sum(row.seconds for row in called) or 1.0
        pairs = [(_time(row, whole), row) for row in called]
        self.rows = sorted((time for time, _ in pairs), key=lambda t: -t.share)
        events = [Event(time, row.start, row.last) for time, row in pairs if row.start >= begin]
        self.events = sorted(events, key=lambda event: event.start)

    def __iter__(self) -> Iterator[NodeTime]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: a list of rows."""
        return {"rows": [{**row.__dict__, "shape": list(row.shape)} for row in self.rows]}

    def to_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the last run as a trace, for chrome://tracing or ui.perfetto.dev.

        Each node is one slice, in the lane of what ran it; operator and shape are its arguments.
        """
        lanes = {name: i for i, name in enumerate(dict.fromkeys(e.row.engine for e in self.events))}
        origin = self.events[0].start if self.events else 0.0
        names = [
            {"ph": "M", "name": "thread_name", "pid": 0, "tid": lane, "args": {"name": name}}
            for name, lane in lanes.items()
        ]
        slices = [
            {
                "ph": "X",
                "name": event.row.name,
                "cat": event.row.op,
                "pid": 0,
                "tid": lanes[event.row.engine],
                "ts": (event.start - origin) * 1e6,
                "dur": event.seconds * 1e6,
                "args": {"op": event.row.op, "shape": list(event.row.shape)},
            }
            for event in self.events
        ]
        text = json.dumps({"traceEvents": [*names, *slices], "displayTimeUnit": "ms"}, indent=1)
        Path(path).write_text(text + "\n")


def since(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    """Return what came in between two looks at the same nodes."""
    return [
        new._replace(calls=new.calls - old.calls, seconds=new.seconds - old.seconds)
        for old, new in zip(before, after, strict=True)
    ]


def _time(row: Row, whole: float) -> NodeTime:
    ms, share = 1e3 * row.seconds / row.calls, row.seconds / whole
    return NodeTime(row.name, row.op, ms, share, row.shape, row.calls, row.engine)
