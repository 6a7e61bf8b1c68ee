"""The plots of a report, as SVG to stand inside a page."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pycompress.convert import NodeError, OutputAgreement
    from pycompress.report.ledger import LedgerRow
    from pycompress.report.timing import Timing
    from pycompress.report.views import Alternative, RangeView

BEFORE, AFTER = "#a8b0ba", "#2563a8"
COLOURS = {
    "static": "#2563a8",
    "dynamic": "#2f9e72",
    "rows": "#2f9e72",
    "weights": "#d08a1d",
    "int4": "#c2504a",
    "bf16": "#7a5aa6",
    "float": "#a8b0ba",
}
OTHER = "#5b6470"
WIDTH = 7.2
MOST_BARS = 24
MOST_HISTOGRAMS = 24
CEILING = 90.0
"""Where a bar of signal to noise ends: beyond it nothing is to be seen any more."""

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929c",
    "axes.titlesize": 9,
}


class PlotError(ModuleNotFoundError):
    """What draws is not installed."""


def need_matplotlib() -> None:
    """Raise PlotError where matplotlib is missing: before the long work, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        msg = (
            "an HTML report needs matplotlib: pip install 'pycompress[plot]'; a report in JSON "
            "does without"
        )
        raise PlotError(msg) from error


def ledger_plot(rows: Sequence[LedgerRow]) -> str:
    """Bytes before and after: the largest rows, the rest in one."""
    ordered = sorted(rows, key=lambda row: -max(row.before, row.after))
    bars = [(row.node, row.before, row.after) for row in ordered[:MOST_BARS]]
    rest = ordered[MOST_BARS:]
    if rest:
        sums = sum(r.before for r in rest), sum(r.after for r in rest)
        bars.append((f"({len(rest)} more)", *sums))
    unit, name = (1e6, "MB") if max((b for _, b, _ in bars), default=0) > 2e5 else (1e3, "kB")

    def draw(axes: Axes) -> None:
        places = range(len(bars))
        axes.barh([p - 0.2 for p in places], [b / unit for _, b, _ in bars], 0.4, color=BEFORE)
        axes.barh([p + 0.2 for p in places], [a / unit for _, _, a in bars], 0.4, color=AFTER)
        axes.set_yticks(list(places), [_short(label) for label, _, _ in bars])
        axes.invert_yaxis()
        axes.set_xlabel(name)
        axes.legend(["before", "after"], frameon=False, loc="lower right")

    return _svg("ledger", draw, height=_tall(len(bars)))


def error_plot(errors: Sequence[NodeError]) -> str:
    """Signal to noise of the nodes in the order of the model."""
    worst = sorted(errors, key=lambda e: e.sqnr)[: 3 * MOST_BARS]
    shown = [e for e in errors if e in worst]

    def draw(axes: Axes) -> None:
        heights = [min(max(e.sqnr, 0.0), CEILING) for e in shown]
        colours = [COLOURS.get(e.precision, OTHER) for e in shown]
        axes.bar(range(len(shown)), heights, 0.8, color=colours)
        axes.set_ylabel("signal to noise, dB")
        ticks = range(0, len(shown), max(1, len(shown) // MOST_BARS))
        labels = [_short(shown[i].node, 22) for i in ticks]
        axes.set_xticks(list(ticks), labels, rotation=60, ha="right", fontsize=7)
        seen = [name for name in COLOURS if any(e.precision == name for e in shown)]
        _key(axes, [(name, COLOURS[name]) for name in seen])

    return _svg("errors", draw, height=3.4)


def agreement_plot(outputs: Sequence[OutputAgreement]) -> str:
    """Distance from perfect agreement: mean and worst feed of each output."""

    def draw(axes: Axes) -> None:
        places = list(range(len(outputs)))
        mean = [max(1.0 - o.cosine_mean, 1e-9) for o in outputs]
        worst = [max(1.0 - o.cosine_min, 1e-9) for o in outputs]
        axes.hlines(places, mean, worst, color=BEFORE)
        axes.scatter(mean, places, color=AFTER, zorder=3, label="mean")
        axes.scatter(worst, places, color=OTHER, zorder=3, label="worst feed")
        axes.set_xscale("log")
        decades = math.floor(math.log10(min(mean))), math.ceil(math.log10(max(worst)) + 1e-9)
        axes.set_xlim(10.0 ** decades[0], 10.0 ** decades[1])
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("1 - cosine (log scale; further left is better)")
        axes.set_yticks(places, [_short(o.name) for o in outputs])
        axes.set_ylim(len(outputs) - 0.4, -0.6)
        axes.legend(frameon=False, loc="best")

    return _svg("agreement", draw, height=_tall(len(outputs)) + 0.4)


def timing_plot(timings: Sequence[Timing]) -> str:
    """Load and run times of the engines that ran."""
    ran = [t for t in timings if not t.error and math.isfinite(t.run_ms)]

    def draw(axes: Axes) -> None:
        colours = [AFTER if t.engine == "pycompress" else BEFORE for t in ran]
        bars = axes.barh(range(len(ran)), [t.run_ms for t in ran], 0.6, color=colours)
        axes.bar_label(bars, [f"{t.run_ms:.3g} ms" for t in ran], padding=3)
        axes.margins(x=0.15)
        axes.set_yticks(range(len(ran)), [f"{t.engine} {t.model}" for t in ran])
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds for one run")

    return _svg("times", draw, height=_tall(len(ran)) + 0.2)


def curve_plot(points: Sequence[Alternative]) -> str:
    """Agreement against size and against time, a point for each way of converting."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        left.set_ylabel("of what the bounds allow")
        # what is far beyond the bound stands at the upper edge
        highest = max(1.2, min(4.0, 1.15 * max(p.share for p in points)))
        left.set_ylim(-0.08 * highest, highest)
        _scatter(left, points, [p.bytes / 1e6 for p in points], "MB of constants")
        timed = [p for p in points if math.isfinite(p.run_ms)]
        _scatter(right, timed, [p.run_ms for p in timed], "milliseconds for one run")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=5, frameon=False)

    return _drawn("curve", draw, 3.4)


def histogram_plots(ranges: Sequence[RangeView]) -> str:
    """Histograms of the values in integers, most clipped first, with the range drawn in."""
    shown = sorted(ranges, key=lambda r: -r.clipped)[:MOST_HISTOGRAMS]
    columns = 4
    rows = -(-len(shown) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(shown):
                axes.axis("off")
                continue
            _histogram(axes, shown[place])

    return _drawn("ranges", draw, 1.35 * rows + 0.2)


def _histogram(axes: Axes, view: RangeView) -> None:
    edges = [view.start + view.width * i for i in range(len(view.counts))]
    axes.bar(edges, view.counts, view.width, align="edge", color=BEFORE)
    axes.axvspan(view.low, view.high, color=AFTER, alpha=0.12, linewidth=0)
    for end in (view.low, view.high):
        axes.axvline(end, color=AFTER, linewidth=1)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([])
    axes.set_yticks([], minor=True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=6)
    axes.set_title(_short(view.value, 26), fontsize=6.5)


def _scatter(axes: Axes, points: Sequence[Alternative], x: Sequence[float], label: str) -> None:
    highest = axes.get_ylim()[1]
    for point, place in zip(points, x, strict=True):
        colour = COLOURS.get(point.name.removeprefix("all "), OTHER)
        height = min(point.share, 0.97 * highest)
        # the one that was written is a ring around whatever it coincides with
        style = {"facecolors": "none", "s": 110} if point.chosen else {"s": 40}
        axes.scatter(
            [place],
            [height],
            edgecolors=colour,
            color=None if point.chosen else colour,
            zorder=3,
            clip_on=False,
            label=point.name,
            **style,
        )
    axes.axhline(1.0, color=OTHER, linewidth=1, linestyle="--")
    axes.set_xlim(0, max(x, default=1.0) * 1.1)
    axes.set_xlabel(label)


def _key(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=label) for label, colour in rows]
    axes.legend(handles=handles, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))


def _tall(bars: int) -> float:
    return 0.7 + 0.26 * max(bars, 1)


def _short(text: str, longest: int = 34) -> str:
    """Return a name that fits beside a bar: its end says more than its beginning."""
    text = text if len(text) <= longest else "…" + text[1 - longest :]
    return text.replace("$", r"\$")  # a bare one would begin a formula


def _svg(name: str, draw: Callable[[Axes], None], *, height: float) -> str:
    return _drawn(name, lambda figure: draw(figure.add_subplot()), height)


def _drawn(name: str, draw: Callable[[Figure], None], height: float) -> str:
    """Return the SVG element alone; the name keeps its ids apart from those of other plots."""
    need_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"pycompress {name}"}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    svg = text[text.index("<svg") :]
    # matplotlib numbers its groups afresh in each figure
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
