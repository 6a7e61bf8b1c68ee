"""Two runs side by side: what changed, and whether that is more than the noise."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape

from pycompress.bench.tables import columns_view, noise_text, settings_columns

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from pycompress.bench.run import Row, Run

FLOOR = 0.03
"""A smaller change is never called one: two runs of the same code differ by so much."""


@dataclass(frozen=True)
class Change:
    """One case in both runs.

    Attributes
    ----------
    isas : tuple of str
        Of the first and of the second run; they differ only between CPUs of two kinds.
    rates : tuple of float
    change : float
        Second rate over the first, minus 1.
    best : float
        The same of the best samples.
    noise : float
        What a change has to exceed.
    shares : tuple of float or None
        Of the ceilings of the two machines.
    """

    kind: str
    case: str
    isas: tuple[str, str]
    threads: int
    unit: str
    rates: tuple[float, float]
    change: float
    best: float
    noise: float
    shares: tuple[float | None, float | None]

    @property
    def verdict(self) -> str:
        """Say "faster" or "slower"; nothing within the noise, or when median and best disagree."""
        least = min((self.change, self.best), key=abs)
        if self.change * self.best <= 0 or abs(math.log1p(least)) <= math.log1p(self.noise):
            return ""
        return "faster" if self.change > 0 else "slower"


@dataclass(frozen=True)
class Comparison:
    """The outcome of `pycompress bench --compare A B`.

    Attributes
    ----------
    runs : tuple of Run
    drift : float or None
        By how much a loop that never changes differs between them; None on different CPUs, where
        it is no noise.
    changes : tuple of Change
    alone : tuple of int
        Rows of the first and of the second run that the other one has not.
    """

    runs: tuple[Run, Run]
    drift: float | None
    changes: tuple[Change, ...]
    alone: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings."""
        return {
            "machines": [asdict(run.machine) for run in self.runs],
            "drift": self.drift,
            "changes": [{**asdict(c), "verdict": c.verdict} for c in self.changes],
            "alone": list(self.alone),
        }


def compare_runs(a: Run, b: Run) -> Comparison:
    """Hold the rows of two runs against each other.

    Rows belong together when kind, case, threads and instruction set are the same. Where the two
    machines have no instruction set in common but the portable one, x86 and ARM say, the first
    (best) one of each stands for it.

    Raises
    ------
    ValueError
        The runs have no row in common.
    """
    drift = _drift(a, b)
    noise = 0.0 if drift is None else drift + abs((a.noise or 0) - (b.noise or 0))
    named = {isa for run in (a, b) for isa in run.machine.isas} - {"scalar"}
    alike = any(isa in a.machine.isas and isa in b.machine.isas for isa in named)
    before, after = _rows_by_name(a, by_isa=alike), _rows_by_name(b, by_isa=alike)
    shared = [name for name in before if name in after]
    if not shared:
        msg = "the two runs have no case, instruction set and thread count in common"
        raise ValueError(msg)
    changes = tuple(_change(before[name], after[name], noise) for name in shared)
    return Comparison((a, b), drift, changes, (len(before) - len(shared), len(after) - len(shared)))


def _rows_by_name(run: Run, *, by_isa: bool) -> dict[tuple[object, ...], Row]:
    best = min(run.rows, key=lambda row: run.machine.isas.index(row.isa)).isa if run.rows else ""
    if by_isa:
        return {row.key: row for row in run.rows}
    return {(row.kind, row.case, row.threads): row for row in run.rows if row.isa == best}


def _drift(a: Run, b: Run) -> float | None:
    if a.machine.cpu != b.machine.cpu:
        return None
    first = {(p.isa, p.type, p.threads): p.rate for p in a.ceilings.peaks}
    ratios = [
        p.rate / first[p.isa, p.type, p.threads]
        for p in b.ceilings.peaks
        if (p.isa, p.type, p.threads) in first
    ]
    return max((abs(ratio - 1) for ratio in ratios), default=0.0)


def _change(a: Row, b: Row, noise: float) -> Change:
    return Change(
        a.kind,
        a.case,
        (a.isa, b.isa),
        a.threads,
        a.unit,
        (a.rate, b.rate),
        b.rate / a.rate - 1,
        a.times.best / b.times.best - 1,
        max(FLOOR, a.noise + b.noise + noise),
        (a.share, b.share),
    )


def comparison_view(found: Comparison) -> RenderableType:
    """Return what to print for a comparison."""
    parts: list[RenderableType] = []
    for name, run in zip("AB", found.runs, strict=True):
        parts.append(f"{name}  {escape(str(run.machine))}, {run.when}")
        parts.append(f"   {noise_text(run.noise)}")
    if found.drift is None:
        parts.append("Two kinds of CPU: the roofline columns say what each makes of its own.")
    else:
        parts.append(f"Loops that never change differ by up to {found.drift:.1%} between the runs.")
    kinds = dict.fromkeys(change.kind for change in found.changes)
    for kind in kinds:
        parts.append("")
        mine = [c for c in found.changes if c.kind == kind]
        parts.append(_changes_view(kind, mine, shares=found.drift is None))
    verdicts = [change.verdict for change in found.changes]
    mean = math.exp(sum(math.log1p(c.change) for c in found.changes) / len(found.changes)) - 1
    parts.append(
        f"{len(verdicts)} rows: {verdicts.count('faster')} faster, {verdicts.count('slower')} "
        f"slower, {verdicts.count('')} within the noise; geometric mean of the changes {mean:+.1%}"
    )
    if any(found.alone):
        parts.append(f"Rows in one run only: A {found.alone[0]}, B {found.alone[1]}.")
    return Group(*parts)


def _changes_view(kind: str, changes: list[Change], *, shares: bool) -> Table:
    unit = changes[0].unit
    said, columns = settings_columns(
        kind,
        [c.case for c in changes],
        [" → ".join(dict.fromkeys(c.isas)) for c in changes],
        [c.threads for c in changes],
    )
    words = len(columns)
    columns[f"A {unit}"] = [f"{c.rates[0] / 1e9:.1f}" for c in changes]
    columns["B"] = [f"{c.rates[1] / 1e9:.1f}" for c in changes]
    if shares:
        columns["roofline"] = [
            " → ".join("–" if share is None else f"{share:.0%}" for share in c.shares)
            for c in changes
        ]
    columns["change"] = [f"{c.change:+.1%}" for c in changes]
    columns["noise"] = [f"±{c.noise:.1%}" for c in changes]
    colours = {"faster": "[green]faster", "slower": "[red]slower", "": ""}
    columns["verdict"] = [colours[c.verdict] for c in changes]
    return columns_view(columns, ", ".join([kind, *said]), words)
