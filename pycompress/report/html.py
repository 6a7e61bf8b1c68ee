"""The pages of a compression and of a comparison."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from pycompress.report import plots
from pycompress.report.page import folded, page, section, sub, table
from pycompress.report.text import first_places, megabytes, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompress.convert import Agreement, Evened, NodeError
    from pycompress.report.compare import Comparison
    from pycompress.report.report import Report
    from pycompress.report.timing import Timing
    from pycompress.report.views import RangeView


def report_page(report: Report) -> str:
    """Return the page of a compression."""
    tiles = [
        ("size", f"{report.ratio:.3f}×", f"{_mb(report.size_before)} → {_mb(report.size_after)}"),
        *_agreement_tiles(report.agreement),
        *_speed_tiles(report.timings, "float", report.kind),
    ]
    sections = [
        _notes(report.notes),
        section("Agreement with the float model", _agreement(report.agreement)),
        *_made_up(report.made_up),
        section("Times", _times(report.timings, report.timed_on)),
    ]
    if report.alternatives:
        text = "A point for each way of converting; the dashed line is the bound."
        drawn = plots.curve_plot(report.alternatives)
        sections.append(section("Size, speed and agreement", sub(text), drawn))
    ledger = [
        (row.node, row.format, f"{row.before:,}", f"{row.after:,}") for row in report.ledger.rows
    ]
    sections += [
        section(
            "Bytes",
            plots.ledger_plot(report.ledger.rows),
            folded("every row", ("node", "format", "#before", "#after"), ledger),
        ),
        section("Choices", *_choices(report)),
        _evened(report.evened),
        _errors(report.errors),
        _ranges(report.ranges),
    ]
    subtitle = f"{report.source} → {report.target}, mode {report.mode}"
    return page("Compression report", subtitle, tiles, sections)


def comparison_page(comparison: Comparison) -> str:
    """Return the page of a comparison of two models."""
    tiles = [
        (
            "size of B",
            f"{comparison.size_b / comparison.size_a:.3f}×",
            f"{_mb(comparison.size_a)} → {_mb(comparison.size_b)}",
        ),
        *_agreement_tiles(comparison.agreement),
        *_speed_tiles(comparison.timings, "A", "B"),
    ]
    sections = [
        _notes(comparison.notes),
        section("Agreement of B with A", _agreement(comparison.agreement)),
        section("Times", _times(comparison.timings, comparison.compared_on)),
        section(
            "Bytes by type",
            plots.ledger_plot(comparison.ledger.rows),
            table(
                ("constants of type", "#A", "#B"),
                [(r.node, f"{r.before:,}", f"{r.after:,}") for r in comparison.ledger.rows],
            ),
        ),
        _errors(comparison.errors),
    ]
    subtitle = f"A {comparison.a}, B {comparison.b}, on {comparison.compared_on}"
    return page("Comparison", subtitle, tiles, sections)


def _agreement_tiles(agreement: Agreement | None) -> list[tuple[str, str, str]]:
    if agreement is None:
        return [("agreement", "unknown", "no data to judge on")]
    cosine = min((o.cosine_mean for o in agreement.outputs), default=1.0)
    feeds = "1 feed" if agreement.feeds == 1 else f"{agreement.feeds} feeds"
    tiles = [("mean cosine", f"{cosine:.5f}", f"output that agrees least, {feeds}")]
    if agreement.top1 is not None:
        least = min((o for o in agreement.outputs if o.classes), key=lambda o: o.top1 or 0.0)
        low, high = least.interval or (0.0, 1.0)
        text = f"{least.rows} rows; 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        tiles.append(("same first place", f"{100 * agreement.top1:.2f} %", text))
    return tiles


def _speed_tiles(timings: Iterable[Timing], a: str, b: str) -> list[tuple[str, str, str]]:
    ours = {t.model: t.run_ms for t in timings if t.engine == "pycompress"}
    if not (math.isfinite(ours.get(a, math.nan)) and math.isfinite(ours.get(b, math.nan))):
        return []
    text = f"{milliseconds(ours[a])} → {milliseconds(ours[b])} ms, one thread"
    return [("speed", f"{ours[a] / ours[b]:.2f}×", text)]


def _agreement(agreement: Agreement | None) -> str:
    if agreement is None:
        return sub("There was no data to judge on.")
    rows = [
        (
            o.name,
            f"{o.cosine_mean:.5f}",
            f"{o.cosine_min:.5f}",
            f"{o.largest_error:.3g}",
            first_places(o),
        )
        for o in agreement.outputs
    ]
    columns = ("output", "#cosine mean", "#cosine min", "#largest error", "#same first place")
    return plots.agreement_plot(agreement.outputs) + table(columns, rows)


def _made_up(agreement: Agreement | None) -> list[str]:
    if agreement is None:
        return []
    text = (
        "The inputs were noise: this shows what is broken, not that the rest is fit for real ones."
    )
    return [section("Agreement on made-up inputs", sub(text), _agreement(agreement))]


def _times(timings: Sequence[Timing], timed_on: str) -> str:
    if not timings:
        return sub("Nothing was timed.")
    rows = [
        (t.engine, t.model, milliseconds(t.load_ms), milliseconds(t.run_ms), t.error)
        for t in timings
    ]
    columns = ("engine", "model", "#load ms", "#run ms", "")
    drawn = plots.timing_plot(timings)
    return sub(f"On {timed_on}, one thread, medians.") + drawn + table(columns, rows)


def _choices(report: Report) -> list[str]:
    rows = [(c.node, c.format, c.precision, c.reason) for c in report.choices]
    rows += [(node, "none", "float", reason) for node, reason in report.refused]
    kept = [row for row in rows if row[2] == "float"]
    columns = ("node", "format", "precision", "why")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[2]] = counts.get(row[2], 0) + 1
    said = ", ".join(f"{count} {precision}" for precision, count in sorted(counts.items()))
    parts = [sub(f"{said}." if said else "The model has no node that could be converted.")]
    if kept:
        parts += ["<p>Stayed in float:</p>", table(columns, kept[:40])]
    return [*parts, folded("every node", columns, rows)]


def _evened(places: Sequence[Evened]) -> str:
    if not places:
        return ""
    rows = [
        (
            p.name,
            f"{p.kind}, 2^{min(p.exponents)} to 1" if p.taken else "as before",
            ", ".join(p.readers),
            f"{p.error_before:.2e}",
            f"{p.error:.2e}" if p.taken else "",
            p.reason,
        )
        for p in sorted(places, key=lambda p: not p.taken)
    ]
    text = "Factors that pass from a layer, a normalisation or attention to the weights behind it."
    columns = ("behind", "factors", "read by", "#error before", "#after", "why")
    taken = sum(p.taken for p in places)
    return section(
        "Channels evened out", sub(text), folded(f"{taken} of {len(places)} places", columns, rows)
    )


def _errors(errors: Sequence[NodeError]) -> str:
    if not errors:
        return ""
    worst = sorted(errors, key=lambda e: e.sqnr)
    rows = [(e.node, e.precision, _db(e.sqnr)) for e in worst]
    text = (
        "Signal to quantization noise where each value comes out, with the error of all that was "
        "before it; 20 dB is a tenth of the size, 40 dB a hundredth."
    )
    columns = ("node", "precision", "#dB")
    drawn = plots.error_plot(errors)
    return section("Error by node", sub(text), drawn, folded("every node", columns, rows))


def _ranges(ranges: Sequence[RangeView]) -> str:
    if not ranges:
        return ""
    rows = [
        (
            r.value,
            f"{r.low:.4g} to {r.high:.4g}",
            f"{r.seen_low:.4g} to {r.seen_high:.4g}",
            f"{100 * r.clipped:.4f} %",
        )
        for r in ranges
    ]
    text = "Counts on a logarithmic scale; the integers cover the shaded range. Most clipped first."
    columns = ("value", "range", "seen", "#clipped")
    drawn = plots.histogram_plots(ranges)
    every = folded("every range", columns, rows)
    return section("Ranges of activations", sub(text), drawn, every)


def _notes(notes: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(n)}</li>" for n in notes) + "</ul>" if notes else ""


def _mb(size: int) -> str:
    return f"{megabytes(size)} MB"


def _db(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "exact" if value > 0 else "—"
