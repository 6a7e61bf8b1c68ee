"""Runs as tables for a terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from pycompress.bench.noise import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from pycompress.bench.ceilings import Ceilings
    from pycompress.bench.run import Row, Run

RESTLESS = 0.1
"""Part of its median by which a row may differ before a run warns of it."""


def run_view(run: Run) -> RenderableType:
    """Return what to print for a run."""
    parts: list[RenderableType] = [escape(str(run.machine)), "", *ceilings_view(run.ceilings)]
    parts.append("Medians of interleaved samples; ± by how much samples and passes differ.\n")
    for kind, rows in groupby(run.rows, key=lambda row: row.kind):
        parts.append(rows_view(kind, list(rows)))
    parts.append(noise_text(run.noise))
    restless = restless_text(run)
    if restless:
        parts.append(f"[yellow]·[/yellow] {restless}")
    return Group(*parts)


def restless_text(run: Run) -> str:
    """Return how many rows are not to be relied on, and why; nothing where all are."""
    restless = sum(row.noise > RESTLESS for row in run.rows)
    if not restless:
        return ""
    return (
        f"{restless} of {len(run.rows)} rows differ by more than {RESTLESS:.0%} between samples or "
        "passes: others use the same caches and memory."
    )


def ceilings_view(ceilings: Ceilings) -> Iterable[RenderableType]:
    """Return the tables of what the machine could do at most."""
    threads = sorted({peak.threads for peak in ceilings.peaks + ceilings.bandwidths})
    heads = [threads_text(count) for count in threads]
    if ceilings.peaks:
        peaks = table("ceiling, in registers", "instruction", *heads, title="GOP/s at most", text=2)
        for isa, kind, instruction in dict.fromkeys(
            (p.isa, p.type, p.instruction) for p in ceilings.peaks
        ):
            rates = [ceilings.peak(isa, kind, count) for count in threads]
            figures = ["" if rate is None else f"{rate / 1e9:.0f}" for rate in rates]
            peaks.add_row(f"{isa} {kind}", instruction, *figures)
        yield peaks
    kinds = list(dict.fromkeys(row.kind for row in ceilings.bandwidths))
    columns = [f"{kind}, {head}" for head in heads for kind in kinds]
    memory = table("level", *columns, title="GB/s at most")
    for level in dict.fromkeys(row.level for row in ceilings.bandwidths):
        moved = {(b.threads, b.kind): b.rate for b in ceilings.bandwidths if b.level == level}
        memory.add_row(level, *(f"{moved[c, k] / 1e9:.0f}" for c in threads for k in kinds))
    yield memory


def rows_view(kind: str, rows: list[Row]) -> Table:
    """Return the table of one kind of work; a setting that never changes stands in its title."""
    said, columns = settings_columns(
        kind, [row.case for row in rows], [row.isa for row in rows], [row.threads for row in rows]
    )
    columns["time"] = [time_text(row.times.median) for row in rows]
    columns["±"] = [f"{row.noise:.1%}" for row in rows]
    columns[rows[0].unit] = [f"{row.rate / 1e9:.1f}" for row in rows]
    columns["roofline"] = ["" if row.share is None else f"{row.share:.0%}" for row in rows]
    columns["bound"] = [row.bound for row in rows]
    return columns_view(columns, ", ".join([kind, *said]), len(columns) - 5)


def settings_columns(
    kind: str, cases: list[str], isas: list[str], threads: list[int]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the settings that never change, and columns of the cases and of those that do."""
    said, columns = [], {kind: cases}
    for name, values in (("isa", isas), ("threads", [threads_text(count) for count in threads])):
        if len(set(values)) == 1:
            said.append(values[0])
        else:
            columns[name] = values
    return said, columns


def columns_view(columns: dict[str, list[str]], title: str, text: int) -> Table:
    """Return a table of columns; a case that was named is not named again in the next row."""
    view = table(*columns, title=title, text=text)
    before = ""
    for case, *fields in zip(*columns.values(), strict=True):
        view.add_row("" if case == before else case, *fields)
        before = case
    return view


def noise_text(noise: float | None) -> str:
    """Return how quiet the machine was, and what that means."""
    if noise is None:
        return "How quiet the machine was could not be told: there is no loop to tell it by."
    lost = f"a loop that never changes lost {noise:.1%} between its best and its median"
    if noise > QUIET:
        return (
            f"[yellow]The machine is noisy:[/yellow] {lost}. "
            "Close what else runs, pin the process (taskset) or measure longer (--seconds)."
        )
    return f"The core was quiet: {lost}."


def threads_text(count: int) -> str:
    """Return a count with its noun."""
    return f"{count} thread{'s' * (count > 1)}"


def time_text(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def table(*columns: str, title: str, text: int = 1) -> Table:
    """Return an empty table whose first `text` columns hold words, the rest figures."""
    view = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for index, column in enumerate(columns):
        words = index < text or column in {"bound", "verdict"}
        view.add_column(column, justify="left" if words else "right", no_wrap=True)
    return view
