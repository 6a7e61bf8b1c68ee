"""Load and run times of engines side by side, interleaved: a busy moment hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pycompress.calibration import Feed, Run

LOADS = 3
"""Times that each model is loaded."""

SECONDS = 2.0
"""Time given to running all entrants of a race."""

MOST_ROUNDS = 50


@dataclass(frozen=True)
class Timing:
    """One engine running one model.

    Attributes
    ----------
    engine, model : str
        Such as "pycompress" and "int8".
    load_ms, run_ms : float
        Medians, in milliseconds; NaN when it failed.
    rounds : int
        Timed rounds over the feeds.
    error : str
        Why it failed; empty when it did not.
    """

    engine: str
    model: str
    load_ms: float
    run_ms: float
    rounds: int
    error: str = ""


def race(
    entrants: Mapping[tuple[str, str], Callable[[], Run]],
    feeds: Sequence[Feed],
    seconds: float = SECONDS,
) -> list[Timing]:
    """Time loading and running.

    Parameters
    ----------
    entrants : mapping
        (engine, model) -> a function that loads the model and returns what runs it.
    feeds : sequence of dict
        The same for all; at least one.
    seconds : float
        How long to run in all, warm-up and loading not counted.

    Notes
    -----
    An entrant that raises gets a row with the error instead of times, and the others go on.
    """
    racers = [_Racer(*key, load) for key, load in entrants.items()]
    for _ in range(LOADS):
        for racer in racers:
            racer.load()
    for racer in racers:
        racer.run(feeds, timed=False)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < MOST_ROUNDS and (rounds < 3 or time.perf_counter() < end):
        for racer in racers:
            racer.run(feeds)
        rounds += 1
    return [racer.timing() for racer in racers]


class _Racer:
    """One entrant and its times; after an error it stands still."""

    def __init__(self, engine: str, model: str, loader: Callable[[], Run]) -> None:
        self.engine, self.model, self.loader = engine, model, loader
        self.loads: list[float] = []
        self.runs: list[float] = []
        self.error = ""
        self._run: Run | None = None

    def load(self) -> None:
        self._run = None  # the one before is freed outside of the time
        seconds = self._timed(self._load)
        if seconds is not None:
            self.loads.append(seconds)

    def run(self, feeds: Sequence[Feed], *, timed: bool = True) -> None:
        seconds = self._timed(lambda: self._feed(feeds))
        if timed and seconds is not None:
            self.runs.append(seconds / len(feeds))

    def timing(self) -> Timing:
        times = (_milliseconds(self.loads), _milliseconds(self.runs))
        return Timing(self.engine, self.model, *times, len(self.runs), self.error)

    def _load(self) -> None:
        self._run = self.loader()

    def _feed(self, feeds: Sequence[Feed]) -> None:
        if self._run is not None:
            for feed in feeds:
                self._run(feed)

    def _timed(self, work: Callable[[], None]) -> float | None:
        if self.error:
            return None
        start = time.perf_counter()
        try:
            work()
        except Exception as error:
            self.error = _first_line(error)
            return None
        return time.perf_counter() - start


def _milliseconds(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1e3 if seconds else float("nan")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:200]


def onnxruntime_loader(path: str) -> Callable[[], Run]:
    """Return what loads a model file into onnxruntime on one thread."""

    def load() -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda feed: [np.asarray(output) for output in session.run(None, dict(feed))]

    return load


def session_loader(path: str) -> Callable[[], Run]:
    """Return what loads a model file into our session on one thread."""

    def load() -> Run:
        from pycompress.runtime import InferenceSession

        session = InferenceSession(path, num_threads=1)
        return lambda feed: session.run(None, dict(feed))

    return load
