"""Reports as tables for a terminal."""

from __future__ import annotations

import io
import math
from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from pycompress.convert import Agreement, Choice, Evened, OutputAgreement
    from pycompress.report.compare import Comparison
    from pycompress.report.info import Info
    from pycompress.report.inspect import Inspection
    from pycompress.report.ledger import LedgerRow
    from pycompress.report.report import Report
    from pycompress.report.timing import Timing

MOST_ROWS = 12
"""Rows of the ledger that are printed; the rest is summed up in one."""


def render(report: Report, width: int = 110) -> str:
    """Return a report as plain text."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(report_view(report))
    return out.getvalue()


def report_view(report: Report) -> RenderableType:
    """Return what to print for a compression."""
    parts: list[RenderableType] = [
        f"{escape(report.source)} → {escape(report.target)}",
        f"{megabytes(report.size_before)} → {megabytes(report.size_after)} MB"
        f" ([bold]{report.ratio:.3f} of it[/bold]), mode {report.mode}",
        "",
        choices_view(report.choices),
        kept_view(report.choices, report.refused),
        *evened_view(report.evened),
        ledger_view(report.ledger.rows),
    ]
    if report.agreement is not None:
        parts.append(agreement_view(report.agreement))
    if report.made_up is not None:
        title = "Agreement with the float model on MADE-UP inputs (noise): no real ones were given"
        parts.append(agreement_view(report.made_up, title))
    parts.append(timings_view(report.timings, report.timed_on))
    parts.extend(f"[yellow]·[/yellow] {escape(note)}" for note in report.notes)
    return Group(*parts)


def comparison_view(comparison: Comparison) -> RenderableType:
    """Return what to print for a comparison of two models."""
    sizes = table("model", "file MB", title="Files")
    sizes.add_row("A  " + escape(comparison.a), megabytes(comparison.size_a))
    sizes.add_row("B  " + escape(comparison.b), megabytes(comparison.size_b))
    return Group(
        sizes,
        agreement_view(comparison.agreement, f"Agreement of B with A on {comparison.compared_on}"),
        timings_view(comparison.timings, comparison.compared_on),
        *(f"[yellow]·[/yellow] {escape(note)}" for note in comparison.notes),
    )


def inspection_view(inspection: Inspection) -> RenderableType:
    """Return what to print about one model."""
    values = table("", "name", "type", "shape", title=escape(inspection.path))
    for kind, specs in (("input", inspection.inputs), ("output", inspection.outputs)):
        for spec in specs:
            values.add_row(
                kind,
                escape(spec.name),
                spec.type,
                escape(str(list(spec.shape)) if spec.shape else "?"),
            )
    nodes = table(
        "node",
        "format",
        "precision",
        "bytes",
        "reason when in no format",
        title="Nodes with constants",
    )
    for row in inspection.nodes:
        nodes.add_row(
            escape(row.node), row.format, row.precision, f"{row.bytes:,}", escape(row.reason)
        )
    counts = ", ".join(f"{op} {count}" for op, count in inspection.operators.items())
    return Group(
        values,
        f"opset {inspection.opset}, {megabytes(inspection.size)} MB; simplified: {escape(counts)}",
        nodes,
    )


def info_view(info: Info) -> RenderableType:
    """Return what to print about the installation."""
    view = table("", "value", title=f"pycompress {info.version}")
    view.add_row("instruction set", f"{info.isa} (of {', '.join(info.available_isas)})")
    view.add_row("machine", f"{info.machine}, {info.cpus} usable CPUs")
    view.add_row("python", info.python)
    for name, version in info.packages.items():
        view.add_row(name, version)
    return view


def choices_view(choices: Iterable[Choice]) -> Table:
    """Return how many nodes of each format took each precision."""
    counted = Counter((c.format, c.precision, c.reason) for c in choices)
    view = table("format", "precision", "nodes", "why", title="Precision")
    for (format_name, precision, reason), count in sorted(counted.items()):
        if precision != "float":
            view.add_row(format_name, precision, str(count), escape(reason))
    return view


def kept_view(choices: Iterable[Choice], refused: Sequence[tuple[str, str]]) -> RenderableType:
    """Return which nodes stayed in float and why."""
    kept = [(c.node, c.reason) for c in choices if c.precision == "float"] + list(refused)
    if not kept:
        return "No node that could be converted stayed in float.\n"
    by_reason: dict[str, list[str]] = {}
    for node, reason in kept:
        by_reason.setdefault(reason, []).append(node)
    view = table("nodes", "which", "why", title="Stayed in float")
    for reason, nodes in sorted(by_reason.items(), key=lambda item: -len(item[1]))[:MOST_ROWS]:
        which = ", ".join(nodes[:2]) + (f" and {len(nodes) - 2} more" if len(nodes) > 2 else "")
        view.add_row(str(len(nodes)), escape(which), escape(reason))
    return view


def evened_view(places: Sequence[Evened]) -> list[RenderableType]:
    """Return where channels were evened out, and why not elsewhere; nothing without any place."""
    if not places:
        return []
    view = table("behind", "by", "read by", "error", "was", title="Channels evened out")
    for place in (p for p in places if p.taken):
        more = f" and {len(place.readers) - 1} more" if len(place.readers) > 1 else ""
        factors = f"{place.kind}, 2^{min(place.exponents)} to 1"
        errors = (f"{place.error:.1e}", f"{place.error_before:.1e}")
        view.add_row(escape(place.name), factors, escape(place.readers[0] + more), *errors)
    left = Counter(p.reason for p in places if not p.taken)
    for reason, count in sorted(left.items(), key=lambda item: -item[1]):
        where = "1 more place" if count == 1 else f"{count} more places"
        view.add_row(where, "as before", escape(reason), "", "")
    return [view]


def ledger_view(rows: Sequence[LedgerRow]) -> Table:
    """Return where the bytes are."""
    view = table("node", "format", "before", "after", title="Bytes")
    gathered = [row for row in rows if not row.format]
    nodes = sorted((row for row in rows if row.format), key=lambda row: -row.before)
    for row in nodes[:MOST_ROWS]:
        view.add_row(escape(row.node), row.format, f"{row.before:,}", f"{row.after:,}")
    rest = nodes[MOST_ROWS:]
    if rest:
        before, after = sum(r.before for r in rest), sum(r.after for r in rest)
        view.add_row(f"({len(rest)} more nodes)", "", f"{before:,}", f"{after:,}")
    for row in gathered:
        view.add_row(row.node, "", f"{row.before:,}", f"{row.after:,}")
    view.add_section()
    view.add_row("file", "", f"{sum(r.before for r in rows):,}", f"{sum(r.after for r in rows):,}")
    return view


def agreement_view(agreement: Agreement, title: str = "") -> Table:
    """Return how much the answers agree."""
    title = title or f"Agreement with the float model on {agreement.feeds} held-back feeds"
    view = table(
        "output", "cosine mean", "cosine min", "largest error", "same first place", title=title
    )
    for output in agreement.outputs:
        view.add_row(
            escape(output.name),
            f"{output.cosine_mean:.5f}",
            f"{output.cosine_min:.5f}",
            f"{output.largest_error:.3g}",
            first_places(output),
        )
    return view


def first_places(output: OutputAgreement) -> str:
    """Return the share of rows whose first place is the same, with its confidence interval."""
    if output.top1 is None or output.interval is None:
        return ""
    low, high = output.interval
    return f"{output.top1:.4f} of {output.rows} ({low:.3f} to {high:.3f})"


def timings_view(timings: Iterable[Timing], timed_on: str) -> Table:
    """Return load and run times."""
    view = table(
        "engine", "model", "load ms", "run ms", "", title=f"Times on {timed_on}, one thread"
    )
    for timing in timings:
        times = (milliseconds(timing.load_ms), milliseconds(timing.run_ms))
        view.add_row(timing.engine, timing.model, *times, escape(timing.error))
    return view


def table(*columns: str, title: str) -> Table:
    """Return an empty table in the style of all reports, with figures set to the right."""
    view = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        figures = column in {"nodes", "before", "after", "bytes"} or column.split()[-1:] in (
            ["ms"],
            ["MB"],
        )
        view.add_column(column, justify="right" if figures else "left", overflow="fold")
    return view


def megabytes(size: int) -> str:
    """Return bytes in units of a million."""
    return f"{size / 1e6:.3f}"


def milliseconds(value: float) -> str:
    """Return a time with three digits that matter; a dash for NaN."""
    return "—" if math.isnan(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
