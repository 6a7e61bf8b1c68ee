"""One HTML page that needs nothing else: no script, no network; and where reports are written."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pycompress.graph.beside import beside
from pycompress.report.plots import need_matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence


class Written(Protocol):
    """What can be written as a report."""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""

    def to_html(self) -> str:
        """Return it as a page."""


SUFFIXES = (".html", ".json")

_CSS = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:60rem;margin:2rem auto;
padding:0 1rem}h1{font-size:1.5rem;margin:0}
h2{font-size:1.1rem;margin:2.2rem 0 .5rem;border-bottom:1px solid #dde2e8}
table{border-collapse:collapse;font-size:.85rem;margin:.6rem 0}
th,td{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top;overflow-wrap:anywhere}
th{color:#5b6672;font-weight:600;border-bottom:1px solid #dde2e8;white-space:nowrap}
td+td{overflow-wrap:normal}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.tile{background:#f3f5f8;border-radius:.5rem;padding:.6rem 1rem;min-width:9rem}
.tile b{display:block;font-size:1.35rem}.tile span{color:#5b6672;font-size:.8rem}
svg{width:100%;height:auto}p.sub{color:#5b6672;margin:.2rem 0}details{margin:.5rem 0}
summary{cursor:pointer;color:#2563a8}li{margin:.15rem 0}
"""


def check_report_path(path: str | Path) -> Path:
    """Return where a report goes, or say before the long work why it can't go there.

    Raises
    ------
    ValueError
        The suffix is neither .html nor .json.
    ModuleNotFoundError
        An HTML report is asked for and matplotlib is missing.
    FileNotFoundError
        There is no such folder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"report '{path}': found the suffix '{path.suffix}', wanted .html or .json"
        raise ValueError(msg)
    if not path.parent.is_dir():
        msg = f"report '{path}': there is no folder '{path.parent}'"
        raise FileNotFoundError(msg)
    if path.suffix.lower() == ".html":
        need_matplotlib()
    return path


def write_report(result: Written, path: str | Path) -> None:
    """Write a report as HTML or JSON, whichever the suffix says.

    Raises
    ------
    ValueError, ModuleNotFoundError, FileNotFoundError
        As `check_report_path`.
    """
    path = check_report_path(path)
    if path.suffix.lower() == ".json":
        text = json.dumps(result.to_dict(), indent=2) + "\n"
    else:
        text = result.to_html()
    with beside(path) as file:
        file.write(text.encode())


def section(title: str, *parts: str) -> str:
    """Return one section under a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def sub(text: str) -> str:
    """Return a quiet line of text."""
    return f'<p class="sub">{escape(text)}</p>'


def folded(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that opens when its title is clicked."""
    return f"<details><summary>{escape(title)}</summary>{table(columns, rows)}</details>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a column whose title begins with # holds figures."""
    figures = [c.startswith("#") for c in columns]
    head = "".join(
        f'<th class="n">{escape(c[1:])}</th>' if n else f"<th>{escape(c)}</th>"
        for c, n in zip(columns, figures, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="n">{escape(cell)}</td>' if n else f"<td>{escape(cell)}</td>"
            for cell, n in zip(row, figures, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def page(
    title: str, subtitle: str, tiles: Sequence[tuple[str, str, str]], sections: Sequence[str]
) -> str:
    """Return a whole page; a tile is (name, figure, text below it)."""
    import pycompress

    drawn = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b>'
        f"<span>{escape(text)}</span></div>"
        for name, value, text in tiles
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_CSS}</style></head><body>'
        f"<h1>{escape(title)}</h1>{sub(subtitle)}<div class='tiles'>{drawn}</div>"
        f"{''.join(sections)}{sub(f'pycompress {pycompress.__version__}, {pycompress.isa()}')}"
        "</body></html>\n"
    )
