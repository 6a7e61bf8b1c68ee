"""LSTM, GRU and RNN: the format that they take, and what compress makes of them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress.convert import cosine
from pycompress.graph import simplify, to_formats
from pycompress.readers import read

from .models import model, normal, peer

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(cell, hidden=24, width=16, **attrs):
    gates, directions = GATES[cell], 2 if attrs.get("direction") == "bidirectional" else 1
    constants = {
        "w": normal(1, directions, gates * hidden, width),
        "r": normal(2, directions, gates * hidden, hidden),
        "b": normal(3, directions, 2 * gates * hidden),
    }
    node = helper.make_node(
        cell, ["x", "w", "r", "b"], ["y", "y_h"], "cells", hidden_size=hidden, **attrs
    )
    shape = ["steps", directions, 2, hidden]
    return model(
        [node],
        [("x", TensorProto.FLOAT, ["steps", 2, width])],
        [("y", shape), ("y_h", shape[1:])],
        constants,
    )


def sequences(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((9, 2, 16)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("cell", GATES)
def test_the_written_model_is_small_and_runs_here_and_elsewhere(tmp_path, cell, direction):
    float_model = recurrent(cell, direction=direction)
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(float_model, source)
    report = pycompress.compress(source, target, sequences(8))
    assert [(c.format, c.precision) for c in report.choices] == [("recurrent", "dynamic")]
    assert target.stat().st_size < 0.45 * source.stat().st_size
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    assert {n.op_type for n in written.graph.node} == {"DequantizeLinear", cell}
    session = pycompress.InferenceSession(target)
    assert session.fallbacks == []
    reference, elsewhere = peer(float_model), peer(written)
    for feed in sequences(3, seed=1):
        wanted = reference(feed)
        for found in (session.run(None, feed), elsewhere(feed)):
            assert len(found) == len(wanted) == 2
            assert all(cosine(a, b) > 0.999 for a, b in zip(wanted, found, strict=True))


def test_integers_are_multiplied_only_where_that_is_asked_for(tmp_path):
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(recurrent("GRU"), source)
    pycompress.compress(source, target, mode="weights")
    (feed,) = sequences(1)
    elsewhere = peer(onnx.load(target))(feed)
    for ours, theirs in zip(
        pycompress.InferenceSession(target).run(None, feed), elsewhere, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_plan_keeps_the_integer_weights(tmp_path):
    source, target, plan = (tmp_path / n for n in ("float.onnx", "int8.onnx", "m.plan"))
    onnx.save(recurrent("LSTM", hidden=64), source)
    pycompress.compress(source, target)
    session = pycompress.InferenceSession(target)
    session.save(plan)
    (feed,) = sequences(1)
    reopened = pycompress.InferenceSession(plan).run(None, feed)
    for a, b in zip(session.run(None, feed), reopened, strict=True):
        np.testing.assert_array_equal(a, b)


REFUSED = {
    "peepholes": ({"p": np.ones((1, 72), np.float32)}, {}, "it has peepholes"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_says_why(why):
    extra, attrs, sentence = REFUSED[why]
    proto = recurrent("LSTM", **attrs)
    if extra:
        proto.graph.node[0].input.extend(["", "", "", "p"])
        proto.graph.initializer.append(onnx.numpy_helper.from_array(extra["p"], "p"))
    (decision,) = to_formats(simplify(read(proto))).decisions
    assert decision.format is None
    assert decision.reason == sentence
