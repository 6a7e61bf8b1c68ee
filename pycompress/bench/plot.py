"""A run as a picture: the roofline of the machine, and where the kernels are below it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.bench.cases import Case
from pycompress.bench.ceilings import MEMORY

if TYPE_CHECKING:
    from pycompress.bench.run import Row, Run

SUFFIXES = (".png", ".svg")

_MARKS = {
    "gemm": "o",
    "matmul": "*",
    "linear": "s",
    "conv": "^",
    "quantize": "D",
    "int4": "v",
    "bf16": "X",
    "float32": "P",
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_GREY = "#5a5a5a"
_NEAR = 1.5
"""Diagonals whose rates are closer than that have no room for a label between them."""

_APART = 9.0
"""Labels of two sets' peaks stand so far apart, for the peaks of one may be those of the other."""

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "pycompress",  # the same run gives the same file
    "svg.fonttype": "path",
}


def refuse_plot(path: Path) -> None:
    """Say what stands in the way of a picture, before minutes are spent on measuring.

    Raises
    ------
    ValueError
        The file would be neither PNG nor SVG.
    ModuleNotFoundError
        matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        msg = f"--plot: found '{path.name}', wanted a name that ends in {' or '.join(SUFFIXES)}"
        raise ValueError(msg)
    if find_spec("matplotlib") is None:
        msg = "--plot needs matplotlib: pip install 'pycompress[plot]'"
        raise ModuleNotFoundError(msg)


def draw(run: Run, path: Path) -> None:
    """Draw a run: for each thread count the products on the left, quantize on the right.

    Parameters
    ----------
    run : Run
    path : Path
        Ends in .png or .svg.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    threads = sorted({row.threads for row in run.rows})
    products = [row for row in run.rows if row.operations]
    moves = [row for row in run.rows if not row.operations]
    widths = [3] * bool(products) + [2] * bool(moves)
    colours = dict(zip(dict.fromkeys(row.isa for row in run.rows), _COLOURS * 9, strict=False))
    with mpl.rc_context(_STYLE):
        size = (1.2 + 2.4 * sum(widths), 1.0 + 4.0 * len(threads))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(threads), len(widths), squeeze=False, width_ratios=widths)
        for line, count in zip(axes, threads, strict=True):
            panels = list(line)
            title = f"{count} thread{'s' * (count > 1)}"
            if products:
                rows = [row for row in products if row.threads == count]
                _roofline(panels.pop(0), run, rows, colours, title)
            if moves:
                rows = [row for row in moves if row.threads == count]
                _bandwidth(panels.pop(0), run, rows, colours, title)
        figure.suptitle(run.machine.cpu, fontsize=11)
        kinds = dict.fromkeys(row.kind for row in run.rows)
        marks = [
            Line2D([], [], color=_GREY, marker=_MARKS[kind], ls="", label=kind) for kind in kinds
        ]
        lines = [Line2D([], [], color=colour, lw=3, label=isa) for isa, colour in colours.items()]
        entries = [*lines, *marks]
        figure.legend(
            handles=entries,
            loc="outside lower center",
            ncols=len(entries),
            fontsize=8,
            frameon=False,
        )
        date = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=date)


def _roofline(axes: Any, run: Run, rows: list[Row], colours: dict[str, str], title: str) -> None:  # noqa: ANN401 (matplotlib is optional)
    count = rows[0].threads
    intensity = np.array([row.operations / row.bytes for row in rows])
    rates = np.array([row.rate / 1e9 for row in rows])
    isas = dict.fromkeys(row.isa for row in rows)
    types = dict.fromkeys(kind for row in rows for kind in _types(row))
    peaks = {
        (isa, kind): rate / 1e9
        for isa in isas
        for kind in types
        if (rate := run.ceilings.peak(isa, kind, count))
    }
    left, right = intensity.min() / 4, intensity.max() * 1.5
    top = max([*peaks.values(), *rates])
    bottom = min(rates.min() / 2, top / 4)
    levels = [b for b in run.ceilings.bandwidths if (b.kind, b.threads) == ("read", count)]
    roof = max(peaks.values(), default=top)
    before = np.inf
    for level in levels:
        rate = level.rate / 1e9
        ends = np.array([left, roof / rate])
        if ends[1] <= left:
            continue
        axes.plot(ends, ends * rate, color=_GREY, lw=0.9, zorder=1)
        start = max(left, bottom / rate) * 1.06
        crowded = before / rate < _NEAR
        axes.annotate(
            f"{level.level} {rate:.0f} GB/s",
            (start, start * rate),
            xytext=(2, -3) if crowded else (2, 3),
            va="top" if crowded else "baseline",
            textcoords="offset points",
            fontsize=7,
            color=_GREY,
            rotation=_angle(axes, left, right, bottom, top * 1.5),
            rotation_mode="anchor",
        )
        before = rate
    for (isa, kind), peak in peaks.items():
        start = peak / max((b.rate / 1e9 for b in levels), default=peak / left)
        axes.plot([max(start, left), right], [peak, peak], color=colours[isa], lw=1.2, zorder=1)
        axes.annotate(
            f"{isa} {kind} {peak:.0f}",
            (right / _APART ** list(isas).index(isa), peak),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=colours[isa],
        )
    for isa in isas:
        for kind in dict.fromkeys(row.kind for row in rows):
            mine = [i for i, row in enumerate(rows) if (row.isa, row.kind) == (isa, kind)]
            look = {"s": 22, "lw": 0, "alpha": 0.85, "color": colours[isa], "marker": _MARKS[kind]}
            axes.scatter(intensity[mine], rates[mine], zorder=2, **look)
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(left, right),
        ylim=(bottom, top * 1.5),
        xlabel="operations for each byte of operands and result",
        ylabel="GOP/s",
        title=f"{title}: products under the roofline",
    )
    _plain_ticks(axes.xaxis)
    _plain_ticks(axes.yaxis)


def _types(row: Row) -> tuple[str, ...]:
    return Case(row.kind, ()).types


def _plain_ticks(axis: Any, steps: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:  # noqa: ANN401 (matplotlib is optional)
    """Label these multiples of each power of ten as they are."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _angle(axes: Any, left: float, right: float, bottom: float, top: float) -> float:  # noqa: ANN401 (matplotlib is optional)
    """Return the slope of a diagonal on the page, in degrees."""
    width, height = axes.figure.get_size_inches() * axes.get_position().size
    across, up = np.log(right / left) / width, np.log(top / bottom) / height
    return float(np.degrees(np.arctan2(across, up)))


def _bandwidth(axes: Any, run: Run, rows: list[Row], colours: dict[str, str], title: str) -> None:  # noqa: ANN401 (matplotlib is optional)
    count = rows[0].threads
    sizes = np.array([row.bytes / 1e6 for row in rows])
    left, right = sizes.min() / 3, sizes.max() * 3
    levels = [b for b in run.ceilings.bandwidths if (b.kind, b.threads) == ("narrow", count)]
    start = left
    for level in levels:
        end = right if level.level == MEMORY else min(level.size / 1e6, right)
        if end <= start:
            continue
        rate = level.rate / 1e9
        axes.plot([start, end], [rate, rate], color=_GREY, lw=1.2, zorder=1)
        axes.annotate(
            level.level,
            (np.sqrt(start * end), rate),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=_GREY,
        )
        start = end
    for isa in dict.fromkeys(row.isa for row in rows):
        mine = [i for i, row in enumerate(rows) if row.isa == isa]
        rates = [rows[i].rate / 1e9 for i in mine]
        look = {"s": 22, "lw": 0, "color": colours[isa], "marker": _MARKS["quantize"]}
        axes.scatter(sizes[mine], rates, zorder=2, **look)
    axes.set(
        xscale="log",
        xlim=(left, right),
        xlabel="MB read and written",
        ylabel="GB/s",
        title=f"{title}: quantize",
    )
    axes.set_ylim(bottom=0)
    _plain_ticks(axes.xaxis, (1.0,))
