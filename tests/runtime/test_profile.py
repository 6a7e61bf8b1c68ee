"""What a profile says: rows that add up, shapes, and a trace of the last run."""

import io
import json

import numpy as np
import onnx
import pytest
from onnx import helper

from pycompress.report.profile import profile_view
from pycompress.runtime import FallbackWarning, InferenceSession

from .models import Model


def mixed():
    """Return a model with native nodes around one that has no kernel."""
    m = Model()
    x = m.input("x", ["n", 4])
    y = m.node("Relu", m.node("MatMul", x, m.weights(4, 4)))
    y = m.node("Mul", y, m.node("Det", y))
    m.output(m.node("Softmax", y))
    with pytest.warns(FallbackWarning, match="Det"):
        session = InferenceSession(m.proto(), fallback="onnx.reference")
    return session, {"x": np.eye(4, dtype=np.float32)}


def test_rows_have_shapes_and_name_what_ran_them():
    session, feeds = mixed()
    rows = {row.op: row for row in session.profile(feeds, repeats=2)}
    assert rows["linear"].shape == (4, 4)
    assert rows["Det"].shape == ()
    assert {op: row.engine for op, row in rows.items() if row.engine != "native"} == {
        "Det": "onnx.reference"
    }
    assert all(row.calls == 2 for row in rows.values())


def test_a_second_profile_counts_its_own_runs_only():
    session, feeds = mixed()
    session.profile(feeds, repeats=5)
    assert {row.calls for row in session.profile(feeds, repeats=2)} == {2}


def test_the_trace_holds_the_last_run_in_order(tmp_path):
    session, feeds = mixed()
    profile = session.profile(feeds, repeats=3)
    profile.to_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    lanes = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    slices = [e for e in events if e["ph"] == "X"]
    assert [e["cat"] for e in slices] == ["linear", "Det", "Mul", "Softmax"]
    assert [lanes[e["tid"]] for e in slices] == ["native", "onnx.reference", "native", "native"]
    ends = [e["ts"] + e["dur"] for e in slices]
    assert all(end <= e["ts"] + 1e-3 for end, e in zip(ends, slices[1:], strict=False))
    assert slices[0]["args"] == {"op": "linear", "shape": [4, 4]}


def test_a_branch_that_was_not_taken_is_not_in_the_trace():
    def branch(op):
        y = helper.make_tensor_value_info(op, onnx.TensorProto.FLOAT, [3])
        return helper.make_graph([helper.make_node(op, ["x"], [op])], op, [], [y])

    m = Model()
    m.input("x", [3])
    flag = m.input("c", [], onnx.TensorProto.BOOL)
    m.output(m.node("If", flag, then_branch=branch("Exp"), else_branch=branch("Neg")))
    session = InferenceSession(m.proto(), profiling=True)
    feeds = {"x": np.ones(3, np.float32)}
    session.run(None, {**feeds, "c": np.array(True)})
    assert [e.row.op for e in session.profile({**feeds, "c": np.array(False)}).events] == ["Neg"]
    assert {row.op for row in session.profile()} == {"Exp", "Neg"}


def test_it_refuses_what_it_cannot_do():
    session, feeds = mixed()
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        session.profile(feeds, repeats=0)


def test_the_table_sums_up_what_it_leaves_out():
    from rich.console import Console

    session, feeds = mixed()
    out = io.StringIO()
    Console(file=out, width=100).print(profile_view(session.profile(feeds), most=2))
    text = out.getvalue()
    assert "2 more" in text
    assert "4 nodes" in text
