"""Puts the figures of a run into the README: a table of chosen rows, and docs/roofline.svg.

    pycompress bench --isa all --save run.json
    python tools/readme_figures.py run.json

The table stands between two comments of the README, and is all that changes there.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from pycompress.bench.plot import draw
from pycompress.bench.run import Row, Run, load
from pycompress.bench.tables import noise_text, restless_text, time_text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "docs/roofline.svg"
BEGIN, END = "<!-- figures of tools/readme_figures.py -->", "<!-- end of figures -->"

CHOSEN = {
    "gemm": ("1x768x768", "16x768x768", "128x768x768", "1x4096x4096", "128x4096x4096"),
    "linear": ("1x768x768", "128x768x768"),
    "conv": ("3x3 56x56x64->64", "1x1 56x56x64->256", "3x3 7x7x512->512"),
    "quantize": ("128x3072", "3072x768 axis 1", "4096x4096"),
}
"""Rows of the table: the best instruction set on one thread."""


def chosen_rows(run: Run) -> list[Row]:
    """Return the rows of the table.

    Raises
    ------
    ValueError
        The run has not all of them.
    """
    best = run.machine.isas[0]
    rows = {row.key: row for row in run.rows}
    keys = [(kind, case, best, 1) for kind, cases in CHOSEN.items() for case in cases]
    missing = [f"{kind} {case}" for kind, case, *_ in keys if (kind, case, best, 1) not in rows]
    if missing:
        msg = f"the run has no row on {best} and one thread of: {', '.join(missing)}"
        raise ValueError(msg)
    return [rows[key] for key in keys]


def section(run: Run) -> str:
    """Return what stands between the two comments."""
    lines = ["| work | time | rate | of the ceiling | which is |", "|---|---:|---:|---:|---|"]
    for row in chosen_rows(run):
        bound = "products in registers" if row.bound == "int8" else f"{row.bound} bandwidth"
        share = "" if row.share is None else f"{row.share:.0%}"
        rate = f"{row.rate / 1e9:.0f} {row.unit}"
        cells = (f"{row.kind} {row.case}", time_text(row.times.median), rate, share, bound)
        lines.append(f"| {' | '.join(cells)} |")
    best = run.machine.isas[0]
    noise = re.sub(r"\[/?\w+\]", "", noise_text(run.noise)).split(". ")[0].rstrip(".") + "."
    noise = f"{noise} {restless_text(run)}".rstrip()
    return "\n".join(
        [
            *lines,
            "",
            f"![The kernels under the roofline of this machine]({PICTURE})",
            "",
            f"{run.machine}; {best}, one thread. {noise} By",
            "",
            f"```\n{run.command}\n```",
        ]
    )


def replaced(readme: str, text: str) -> str:
    """Return the README with `text` between its comments.

    Raises
    ------
    ValueError
        It has not exactly one pair of them.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    found = len(pattern.findall(readme))
    if found != 1:
        msg = f"README.md has {found} places for figures ({BEGIN} … {END}), wanted 1"
        raise ValueError(msg)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", readme)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="that `pycompress bench --save` wrote")
    run = load(parser.parse_args().run)
    readme = ROOT / "README.md"
    text = replaced(readme.read_text(), section(run))
    picture = ROOT / PICTURE
    picture.parent.mkdir(exist_ok=True)
    draw(run, picture)
    readme.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
