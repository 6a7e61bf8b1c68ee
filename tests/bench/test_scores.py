"""The tables that `bench/scores.py` writes."""

import importlib.util

import pytest

from tests.codebase.test_sources import ROOT

SPEC = importlib.util.spec_from_file_location("scores", ROOT / "bench/scores.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


def kind(size, metric, **times):
    return {"bytes": size, "metric": metric, "metrics": {"agree_top1": 0.99}, **times}


ROWS = {
    "net": {
        "measure": "acc",
        "float": kind(4e6, 0.9, load_ms=20.04, run_ms=3.0),
        "int8": kind(1e6, 0.895, load_ms=10.0, run_ms=1.0) | {"float_nodes": {"a": "tiny"}},
        "int8, no data": kind(1e6, 0.89),
    }
}
PEERS = [
    {"model": "net", "engine": "onnxruntime dynamic int8", "mb": "1", "load_ms": "", "run_ms": "9"}
    | {"metric": "0.7"},
    {"model": "net", "engine": "onnxruntime static int8", "mb": "1", "load_ms": "", "run_ms": ""}
    | {"metric": "fails"},
]


def test_the_short_table_has_a_row_for_each_model():
    *_, row = tool.short_table(ROWS, PEERS).splitlines()
    wanted = (
        "| net, acc | 4.00 → 1.00 | 20 → 10 | 3 → 1 | 0.9000 | 0.7000 / fails | – | **0.8950** "
    )
    assert row == f"{wanted}| 0.8900 |"
    head, rule = tool.short_table({}, []).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")


def test_the_long_table_names_what_was_kept_out():
    text = tool.table(ROWS, PEERS)
    assert "|  | onnxruntime static int8 | 1 | – | – | fails | – |" in text
    assert text.endswith("- net: 1 node, tiny")


def test_only_what_is_between_the_marks_changes():
    text = f"a\n{tool.BEGIN}\nold\n{tool.END}\nb\n"
    new = tool.replaced(text, "new")
    assert new == f"a\n{tool.BEGIN}\n\nnew\n\n{tool.END}\nb\n"
    assert tool.replaced(new, "new") == new
    with pytest.raises(ValueError, match="found 0 of"):
        tool.replaced("nothing", "new")


@pytest.mark.parametrize("name", ["README.md", "docs/models.md"])
def test_the_documents_have_the_marks(name):
    text = (ROOT / name).read_text()
    assert tool.replaced(text, text.partition(tool.BEGIN)[2].partition(tool.END)[0].strip()) == text
