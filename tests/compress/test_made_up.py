"""What is done, and said, where there is no calibration data."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress.compression.made_up import agreement_on, made_up_feeds
from pycompress.convert import WeightCache, apply_plan, cosine, make_plan
from pycompress.convert.logs import before_logs

from .models import model, normal, peer, preset, residual_cnn, tokens

FRAME, BINS, MEL = 128, 65, 16


def log_mel():
    """Frames of sound to a log-mel spectrogram, and one layer that reads it."""
    angle = 2 * np.pi * np.outer(np.arange(FRAME), np.arange(BINS)) / FRAME
    centers, width = np.linspace(2, 62, MEL), 4.0
    bank = np.maximum(0, 1 - np.abs(np.arange(BINS)[:, None] - centers) / width)
    window = np.hanning(FRAME)[:, None]
    nodes = [
        helper.make_node("MatMul", ["x", "cos"], ["re"], "real"),
        helper.make_node("MatMul", ["x", "sin"], ["im"], "imaginary"),
        helper.make_node("Mul", ["re", "re"], ["rr"]),
        helper.make_node("Mul", ["im", "im"], ["ii"]),
        helper.make_node("Add", ["rr", "ii"], ["power"]),
        helper.make_node("MatMul", ["power", "bank"], ["mel"], "bank"),
        helper.make_node("Clip", ["mel", "floor"], ["positive"]),
        helper.make_node("Log", ["positive"], ["log"]),
        helper.make_node("MatMul", ["log", "w"], ["y"], "reader"),
    ]
    constants = {
        "cos": (window * np.cos(angle)).astype(np.float32),
        "sin": (window * np.sin(angle)).astype(np.float32),
        "bank": bank.astype(np.float32),
        "floor": np.float32(1e-6),
        "w": normal(1, MEL, 64),
    }
    face = [("x", TensorProto.FLOAT, ["n", 20, FRAME])], [("y", ["n", 20, 64])]
    return model(nodes, *face, constants)


def sound(seed):
    """Tones and noise that fade over four orders of magnitude, as speech does between words."""
    rng = np.random.default_rng(seed)
    time = np.arange(20 * FRAME) / 8000
    tones = sum(np.sin(2 * np.pi * f * time + rng.uniform(0, 6)) for f in rng.uniform(200, 3000, 3))
    breath = 0.02 * rng.standard_normal(time.size)
    fading = (tones + breath) * np.exp(-9 * np.arange(time.size) / time.size)
    return {"x": fading.reshape(1, 20, FRAME).astype(np.float32)}


def test_layers_that_a_logarithm_looks_through_to():
    assert {n.name for n in before_logs(preset(log_mel()))} == {"real", "imaginary", "bank"}
    assert before_logs(preset(residual_cnn())) == set()


def test_what_squeezes_values_ends_the_search():
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "up"),
        helper.make_node("Softmax", ["a"], ["s"]),
        helper.make_node("Log", ["s"], ["l"]),
        helper.make_node("MatMul", ["l", "w2"], ["b"], "squeezed"),
        helper.make_node("Sigmoid", ["b"], ["c"]),
        helper.make_node("Log", ["c"], ["y"]),
    ]
    face = [("x", TensorProto.FLOAT, ["n", 64])], [("y", ["n", 64])]
    graph = preset(model(nodes, *face, {"w1": normal(1, 64, 64), "w2": normal(2, 64, 64)}))
    assert before_logs(graph) == set()


@pytest.mark.parametrize(
    ("mode", "calibrated", "wanted"),
    [("auto", False, "bf16"), ("dynamic", True, "bf16"), ("auto", True, "dynamic")],
)
def test_they_keep_more_where_nothing_is_measured(mode, calibrated, wanted):
    plan = make_plan(preset(log_mel()), mode, calibrated=calibrated)
    found = {c.node: c.precision for c in plan}
    assert {found[node] for node in ("real", "imaginary", "bank")} == {wanted}
    assert found["reader"] == "dynamic"


def test_that_keeps_the_answers():
    proto = log_mel()
    graph, wanted = preset(proto), peer(proto)
    plan = make_plan(graph, "auto", calibrated=False, exclude=["reader"])
    integers = plan.change(
        [type(c)(c.key, c.node, c.format, "dynamic", "") for c in plan if c.precision == "bf16"]
    )

    def least(plan):
        run = peer(apply_plan(graph, plan, {}, WeightCache()))
        return min(cosine(run(sound(s))[0], wanted(sound(s))[0]) for s in range(4))

    assert least(integers) < 0.98
    assert least(plan) > 0.999


def test_agreement_on_noise_is_shown_and_called_what_it_is(tmp_path):
    onnx.save(log_mel(), tmp_path / "m.onnx")
    report = pycompress.compress(
        tmp_path / "m.onnx", tmp_path / "o.onnx", report=tmp_path / "r.html"
    )
    assert report.agreement is None
    assert report.kept is None
    assert report.made_up.feeds == 4
    assert report.made_up.outputs[0].cosine_mean > 0.999
    assert "MADE-UP inputs (noise)" in str(report)
    assert "Agreement on made-up inputs" in (tmp_path / "r.html").read_text()
    assert json.loads(report.to_json())["made_up"]["feeds"] == 4


def test_made_up_feeds_differ_and_show_what_is_broken():
    graph = preset(residual_cnn())
    feeds, _ = made_up_feeds(graph)
    assert not np.array_equal(feeds[0]["x"], feeds[1]["x"])
    broken = graph.copy()
    weight = next(n for n in broken.nodes if n.name == "second").inputs[1]
    weight.const = -weight.const
    assert agreement_on(feeds, graph, graph).drop == pytest.approx(0, abs=1e-12)
    assert agreement_on(feeds, graph, broken).drop > 0.01


@pytest.mark.parametrize(("window", "size"), [(128, 256), (512, 1024)])
def test_an_open_size_that_is_too_small_is_made_larger(tmp_path, window, size):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "window", strides=[64]),
        helper.make_node("Log", ["c"], ["y"]),
    ]
    face = [("x", TensorProto.FLOAT, ["n", 1, "t"])], [("y", ["n", 40, "frames"])]
    onnx.save(model(nodes, *face, {"w": np.abs(normal(1, 40, 1, window))}), tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "o.onnx")
    assert report.made_up.feeds == 4
    assert f"axis 2 of input 'x' is open: made-up data has {size} there" in report.notes


def test_inputs_that_cannot_be_made_up_are_a_note(tmp_path):
    proto = tokens()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "o.onnx")
    assert report.made_up is None
    assert report.timings == ()
    assert any("can't make up data" in note for note in report.notes)
