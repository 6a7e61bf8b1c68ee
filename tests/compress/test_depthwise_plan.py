"""Which precision a depthwise convolution is given."""

import pytest
from onnx import TensorProto, helper

from pycompress.convert import make_plan

from .models import model, normal, preset


@pytest.mark.parametrize(
    ("mode", "calibrated", "wanted"),
    [
        ("auto", False, {"weights", "dynamic"}),
        ("dynamic", True, {"weights", "dynamic"}),
        ("auto", True, {"static"}),
    ],
)
def test_depthwise_convolutions_do_not_find_their_ranges_at_run_time(mode, calibrated, wanted):
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "each", group=64),
        helper.make_node("Conv", ["a", "w2"], ["y"], "mix", group=2),
    ]
    face = [("x", TensorProto.FLOAT, [1, 64, 5, 5])], [("y", [1, 16, 3, 3])]
    weights = {"w1": normal(1, 64, 1, 3, 3), "w2": normal(2, 16, 32, 1, 1)}
    graph = preset(model(nodes, *face, weights))
    plan = make_plan(graph, mode, calibrated=calibrated)
    assert {c.precision for c in plan} == wanted
    assert plan.choices["a"].precision in {"weights", "static"}
