"""A run: every case on every instruction set and thread count that was asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import statistics
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycompress
from pycompress.bench import ceilings, work
from pycompress.bench.ceilings import Ceilings
from pycompress.bench.machine import Machine, this_machine
from pycompress.bench.noise import Probe
from pycompress.bench.timing import Times, Turn, in_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.bench.cases import Case

FORMAT = 1
"""Of a saved run; another one is refused."""

PASSES = 3
"""Times that a run goes through all its cases, each time with operands in other places: what is
slow only where memory happens to lie, or for a while, shows as a difference between the passes."""


@dataclass(frozen=True)
class Row:
    """One case on one instruction set and thread count.

    Attributes
    ----------
    kind, case : str
        Together the name of the work.
    operations, bytes : int
    times : Times
    passes : tuple of float
        The median of each pass over all cases, in seconds.
    rate : float
        Of the median: operations per second, or bytes where there are no operations.
    bound : str
        What the ceiling is made of: a type of products or a level of memory; empty where there is
        none.
    share : float or None
        Of the ceiling that the median reaches.
    """

    kind: str
    case: str
    isa: str
    threads: int
    operations: int
    bytes: int
    times: Times
    passes: tuple[float, ...]
    rate: float
    bound: str
    share: float | None

    @property
    def unit(self) -> str:
        """Of `rate`, in units of a thousand million."""
        if not self.operations:
            return "GB/s"
        return "GFLOP/s" if self.kind in {"bf16", "float32"} else "GOP/s"

    @property
    def noise(self) -> float:
        """How far its median may be off, as a part of it: samples and passes differ by so much."""
        return self.times.spread + (max(self.passes) - min(self.passes)) / 2 / self.times.median

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What makes it the same piece of work in another run."""
        return self.kind, self.case, self.isa, self.threads


@dataclass(frozen=True)
class Run:
    """The outcome of `pycompress bench`.

    Attributes
    ----------
    noise : float or None
        What a loop that never changes lost between the rounds; None where it could not be told.
    """

    machine: Machine
    when: str
    command: str
    ceilings: Ceilings
    noise: float | None
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def csv(self) -> str:
        """Return the rows with commas between their fields."""
        out = io.StringIO()
        names = [f.name for f in fields(Row) if f.name not in {"times", "passes"}]
        times = [f.name for f in fields(Times)]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names, *(f"{name}_s" if name != "samples" else name for name in times)])
        for row in self.rows:
            values = [getattr(row, name) for name in names]
            writer.writerow([*values, *(getattr(row.times, name) for name in times)])
        return out.getvalue()


def load(path: Path) -> Run:
    """Read a run that was saved.

    Raises
    ------
    ValueError
        The file is none, or of another version's format.
    """
    try:
        data = json.loads(path.read_text())
        found = data.get("format") if isinstance(data, dict) else None
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if found != FORMAT:
        msg = f"{path} is no run of format {FORMAT} that `pycompress bench --save` wrote"
        raise ValueError(msg)
    try:
        rows = [
            Row(**{**row, "times": Times(**row["times"]), "passes": tuple(row["passes"])})
            for row in data["rows"]
        ]
        return Run(
            Machine.from_dict(data["machine"]),
            data["when"],
            data["command"],
            Ceilings.from_dict(data["ceilings"]),
            data["noise"],
            tuple(rows),
        )
    except (KeyError, TypeError) as error:
        msg = f"{path} is a damaged run: {error}"
        raise ValueError(msg) from None


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes
    ----------
    isas, threads : tuple
        Every case runs on each pair of them; the pairs of one case take turns.
    seconds : float
        For each row, in all passes together.
    """

    cases: tuple[Case, ...]
    isas: tuple[str, ...]
    threads: tuple[int, ...]
    seconds: float


def run(plan: Plan, command: str, tell: Callable[[str, int, int], None]) -> Run:
    """Measure the ceilings and time the cases.

    Parameters
    ----------
    command
        What the run says it was made by.
    tell : callable
        Called with what is being done, steps that are done, and all steps.

    Raises
    ------
    ArithmeticError
        A kernel's answer is wrong.
    """
    machine = this_machine()
    before = pycompress.isa(), pycompress.get_num_threads()
    total = PASSES * len(plan.cases)
    found = ceilings.measure(machine.caches, plan.threads, lambda text: tell(text, 0, total))
    probe = Probe()
    settings = [(isa, count) for isa in plan.isas for count in plan.threads]
    samples: dict[Case, list[list[list[float]]]] = {case: [] for case in plan.cases}
    try:
        for done in range(total):
            case = plan.cases[done % len(plan.cases)]
            tell(f"{case.kind} {case.name}", done, total)
            samples[case].append(_samples(case, settings, plan.seconds / PASSES, probe))
    finally:
        pycompress.use_isa(before[0])
        pycompress.set_num_threads(before[1])
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    rows = tuple(
        _row(case, setting, [one[index] for one in passes], found)
        for case, passes in samples.items()
        for index, setting in enumerate(settings)
    )
    return Run(machine, now, command, found, probe.noise(), rows)


def _samples(
    case: Case, settings: list[tuple[str, int]], seconds: float, probe: Probe
) -> list[list[float]]:
    """Return the samples of a case in one pass, for each instruction set and thread count."""
    made = work.make(case)
    turns = []
    for isa, count in settings:
        enter = partial(_enter, isa, count)
        enter()
        call = made.prepare()
        made.check(call(), f"{case.kind} {case.name} on {isa}, {count} threads")
        turns.append(Turn(enter, call))
    return in_turns(turns, seconds, probe)


def _row(case: Case, setting: tuple[str, int], passes: list[list[float]], found: Ceilings) -> Row:
    isa, count = setting
    times = Times.of([sample for samples in passes for sample in samples])
    least = found.seconds(case, isa, count)
    bound, share = ("", None) if least is None else (least[1], least[0] / times.median)
    return Row(
        kind=case.kind,
        case=case.name,
        isa=isa,
        threads=count,
        operations=case.operations,
        bytes=case.bytes,
        times=times,
        passes=tuple(statistics.median(samples) for samples in passes),
        rate=(case.operations or case.bytes) / times.median,
        bound=bound,
        share=share,
    )


def _enter(isa: str, threads: int) -> None:
    pycompress.use_isa(isa)
    if pycompress.get_num_threads() != threads:
        pycompress.set_num_threads(threads)


def usable_isas(asked: str | None) -> tuple[str, ...]:
    """Return the instruction sets that ``--isa`` names: the one in use, "all", or names.

    Raises
    ------
    ValueError
        This CPU cannot run one of them.
    """
    available = pycompress.available_isas()
    if asked is None:
        return (pycompress.isa(),)
    if asked == "all":
        return tuple(available)
    names = tuple(dict.fromkeys(asked.split(",")))
    for name in names:
        if name not in available:
            msg = f"--isa: found '{name}', this CPU has {', '.join(available)} (or: all)"
            raise ValueError(msg)
    return names


def thread_counts(asked: str) -> tuple[int, ...]:
    """Return the thread counts that ``--threads`` names.

    Raises
    ------
    ValueError
        One of them is no count.
    """
    try:
        counts = tuple(dict.fromkeys(int(part) for part in asked.split(",")))
    except ValueError:
        counts = ()
    most = 4 * (os.cpu_count() or 1)
    if not counts or not all(1 <= count <= most for count in counts):
        msg = f"--threads: found '{asked}', wanted counts between commas, 1 to {most}"
        raise ValueError(msg)
    return counts
