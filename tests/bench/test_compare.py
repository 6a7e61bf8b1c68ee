"""Two runs side by side, and pictures of them; the runs are made up."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pycompress.bench import plot
from pycompress.bench.ceilings import MEMORY, Bandwidth, Ceilings, Peak
from pycompress.bench.compare import compare_runs
from pycompress.bench.machine import Machine
from pycompress.bench.run import Row, Run
from pycompress.bench.timing import Times
from pycompress.cli import app

X86 = Machine("A CPU", "x86_64 linux", 2, ("avx2", "scalar"), {"L1": 32768}, {"pycompress": "1"})
ARM = Machine("B CPU", "aarch64 linux", 4, ("neon", "scalar"), {"L1": 65536}, {"pycompress": "1"})


def row(case="8x8x8", isa="avx2", seconds=1e-3, spread=0.01, kind="gemm", threads=1, best=None):
    times = Times(
        seconds, seconds * (1 - spread), seconds * (1 + spread), best or seconds * 0.99, 9
    )
    operations = 0 if kind == "quantize" else 10**8
    rate = (operations or 10**7) / seconds
    share = None if isa == "scalar" else 1e-4 / seconds
    return Row(
        kind, case, isa, threads, operations, 10**7, times, (seconds,) * 3, rate, "int8", share
    )


def run(*rows, machine=X86, peak=1e12, noise=0.0):
    levels = (("L1", 32768, 2e11), ("L2", 10**6, 1.8e11), (MEMORY, 1 << 62, 2e10))
    threads = sorted({row.threads for row in rows})
    ceilings = Ceilings(
        tuple(Peak(machine.isas[0], "int8", "product", count, count * peak) for count in threads),
        tuple(
            Bandwidth(name, size, kind, count, rate)
            for count in threads
            for kind in ("read", "narrow", "write")
            for name, size, rate in levels
        ),
    )
    return Run(machine, "2026-01-01T00:00:00+00:00", "pycompress bench", ceilings, noise, rows)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (row(), row(seconds=0.8e-3), "faster"),
        (row(), row(seconds=1.3e-3), "slower"),
        (row(), row(seconds=1.01e-3), ""),
        (row(spread=0.2), row(seconds=0.8e-3, spread=0.2), ""),
        (row(), replace(row(seconds=0.8e-3), passes=(0.6e-3, 1.0e-3)), ""),
        (row(best=0.99e-3), row(seconds=0.8e-3, best=0.985e-3), ""),
    ],
    ids=["faster", "slower", "under the floor", "spread", "passes differ", "best disagrees"],
)
def test_a_verdict_needs_more_than_the_noise(before, after, verdict):
    (change,) = compare_runs(run(before), run(after)).changes
    assert change.verdict == verdict
    assert change.change == pytest.approx(after.rate / before.rate - 1)


def test_a_slower_clock_is_noise():
    before, after = run(row(), peak=1e12), run(row(seconds=1.15e-3), peak=0.85e12)
    found = compare_runs(before, after)
    assert found.drift == pytest.approx(0.15)
    assert [c.verdict for c in found.changes] == [""]
    found = compare_runs(run(row(), noise=0.2), run(row(seconds=1.15e-3), noise=0.0))
    assert [c.verdict for c in found.changes] == [""]


def test_rows_are_matched_by_case_set_and_threads():
    a = run(row("a"), row("b"), row("a", isa="scalar"), row("a", threads=2))
    b = run(row("a", isa="scalar"), row("b"), row("c"))
    found = compare_runs(a, b)
    assert [(c.case, c.isas[0]) for c in found.changes] == [("b", "avx2"), ("a", "scalar")]
    assert found.alone == (2, 1)


def test_cpus_without_a_set_in_common_are_compared_by_their_best():
    a = run(row("a"), row("a", isa="scalar"))
    b = run(row("a", isa="neon", seconds=2e-3), row("a", isa="scalar"), machine=ARM)
    found = compare_runs(a, b)
    assert found.drift is None
    (change,) = found.changes
    assert change.isas == ("avx2", "neon")
    assert change.shares == (0.1, 0.05)
    assert change.verdict == "slower"


def test_nothing_in_common_is_refused():
    with pytest.raises(ValueError, match="no case, instruction set and thread count in common"):
        compare_runs(run(row("a")), run(row("b")))


def test_the_command_compares_saved_runs(tmp_path):
    run(row("a"), row("b")).save(tmp_path / "a.json")
    other = (row("a", isa="neon", seconds=0.5e-3), row("b", isa="neon"))
    run(*other, machine=ARM).save(tmp_path / "b.json")
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    result = CliRunner().invoke(app, ["bench", "--compare", *files])
    assert result.exit_code == 0, result.output
    assert "2 rows: 1 faster, 0 slower, 1 within the noise" in " ".join(result.stdout.split())
    data = json.loads(CliRunner().invoke(app, ["bench", "--compare", *files, "--json"]).stdout)
    assert [c["verdict"] for c in data["changes"]] == ["faster", ""]


ROWS = [
    row("a"),
    row("b", seconds=2e-3, threads=2),
    row("a", isa="scalar", seconds=0.1),
    row("c", kind="conv"),
    row("d", kind="quantize"),
    row("d", kind="quantize", threads=2),
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[2:3], ROWS[4:5]], ids=len)
def test_a_picture_is_drawn(tmp_path, rows):
    pytest.importorskip("matplotlib", reason="pictures need the extra `plot`")
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    plot.draw(run(*rows), first)
    plot.draw(run(*rows), second)
    assert first.read_bytes() == second.read_bytes()
    assert ET.parse(first).getroot().tag.endswith("svg")
    plot.draw(run(*rows), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_stands_in_the_way_of_a_picture_is_said_before_measuring(tmp_path, monkeypatch):
    arguments = ["bench", "gemm", "--shape", "1,1,1", "--plot"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "a.jpg")])
    assert result.exit_code == 2
    assert "wanted a name that ends in .png or .svg" in result.stderr
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "a.svg")])
    assert result.exit_code == 2
    assert "pip install 'pycompress[plot]'" in result.stderr
