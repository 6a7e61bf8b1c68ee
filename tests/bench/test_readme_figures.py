"""The tool that puts a run's figures into the README."""

import importlib.util

import pytest

from pycompress.bench.cases import SETS
from tests.bench.test_compare import row, run
from tests.codebase.test_sources import ROOT

SPEC = importlib.util.spec_from_file_location("readme_figures", ROOT / "tools/readme_figures.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

ALL = run(*(row(case, kind=kind) for kind, cases in tool.CHOSEN.items() for case in cases))


def test_what_is_chosen_is_measured_by_default():
    names = {(case.kind, case.name) for cases in SETS.values() for case in cases}
    assert {(kind, case) for kind, cases in tool.CHOSEN.items() for case in cases} <= names


def test_each_chosen_row_stands_in_the_table():
    text = tool.section(ALL)
    assert text.count("\n| ") == sum(map(len, tool.CHOSEN.values()))
    assert "| gemm 1x768x768 | 1 ms | 100 GOP/s | 10% | products in registers |" in text
    assert "pycompress bench" in text


def test_a_run_without_a_chosen_row_is_refused():
    with pytest.raises(ValueError, match="no row on avx2 and one thread of: gemm 1x768x768"):
        tool.section(run(row("8x8x8")))


def test_only_what_is_between_the_comments_changes():
    before = f"a\n{tool.BEGIN}\nold\n{tool.END}\nb\n"
    assert tool.replaced(before, "new") == f"a\n{tool.BEGIN}\n\nnew\n\n{tool.END}\nb\n"
    assert tool.replaced(tool.replaced(before, "x"), "new") == tool.replaced(before, "new")
    with pytest.raises(ValueError, match="has 0 places"):
        tool.replaced("nothing", "new")


def test_the_readme_has_its_place():
    assert tool.replaced((ROOT / "README.md").read_text(), "new").count("new\n\n" + tool.END) == 1
