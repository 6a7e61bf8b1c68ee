"""Models whose values decide how large tensors are: steps between programs, here and in plans."""

import numpy as np
import onnx
import pytest

from pycompress.runtime import FallbackWarning, InferenceSession

from .models import BOOL, FLOAT, INT64, Model, assert_close, reference

STRING = onnx.TensorProto.STRING


def detector():
    """Return boxes that stay of many: scores by class, suppression, and the chosen rows."""
    m = Model()
    x = m.input("x", [1, 3, 8, 8])
    y = m.node("Conv", x, m.weights(6, 3, 3, 3), pads=[1, 1, 1, 1])
    rows = m.node(
        "Reshape", m.node("Transpose", y, perm=[0, 2, 3, 1]), m.const(np.array([1, 64, 6]))
    )
    boxes, scores = m.node("Split", rows, m.const(np.array([4, 2])), outputs=2, axis=2)
    scores = m.node("Transpose", m.node("Sigmoid", scores), perm=[0, 2, 1])
    kept = m.node(
        "NonMaxSuppression", boxes, scores, m.const(np.array([9])),
        m.const(np.array([0.4], np.float32)), m.const(np.array([0.5], np.float32)),
    )  # fmt: skip
    number = m.node("Gather", kept, m.const(np.array(2)), axis=1)
    chosen = m.node("Gather", m.node("Squeeze", boxes, m.const(np.array([0]))), number, axis=0)
    m.output(kept, INT64)
    m.output(m.node("Mul", chosen, m.const(np.float32(2))))
    return m, {"x": m.rng.standard_normal((1, 3, 8, 8)).astype(np.float32)}


def chosen():
    """Return what is above a bound, how often each number occurs, and what a mask keeps."""
    m = Model()
    x, mask = m.input("x", ["n", 4]), m.input("mask", ["n"], BOOL)
    places = m.node("Transpose", m.node("NonZero", m.node("Greater", x, m.const(np.float32(0)))))
    m.output(m.node("GatherND", x, places))
    values, counts = m.node("Unique", m.node("Round", x), outputs=4)[::3]
    m.output(m.node("Mul", values, m.const(np.float32(0.5))))
    m.output(counts, INT64)
    m.output(m.node("Exp", m.node("Compress", x, mask, axis=0)), FLOAT)
    return m, {
        "x": m.rng.standard_normal((5, 4)).astype(np.float32),
        "mask": np.array([True, False, True, True, False]),
    }


@pytest.mark.parametrize("make", [detector, chosen])
def test_answers_as_onnxruntime_here_and_from_a_plan(make, tmp_path):
    m, feeds = make()
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    session.save(tmp_path / "p")
    opened = InferenceSession(tmp_path / "p")
    for seed in range(3):
        feeds["x"] = (
            np.random.default_rng(seed).standard_normal(feeds["x"].shape).astype(np.float32)
        )
        wanted = reference(m.proto(), feeds)
        assert_close(session.run(None, feeds), wanted)
        assert_close(opened.run(None, feeds), wanted)


def test_they_are_in_the_profile():
    m, feeds = chosen()
    rows = {row.op: row for row in InferenceSession(m.proto()).profile(feeds, repeats=2)}
    assert {"NonZero", "Unique", "Compress"} <= rows.keys()
    assert rows["NonZero"].engine == "native"
    assert rows["NonZero"].calls == 2


def test_a_type_without_a_kernel_is_named():
    m = Model()
    m.output(m.node("Unique", m.input("x", ["n"], STRING)), STRING)
    feeds = {"x": np.array(["b", "a", "b"], object)}
    with pytest.warns(FallbackWarning, match="'Unique'.*: 'x' is object"):
        session = InferenceSession(m.proto())
    assert session.run(None, feeds)[0].tolist() == ["a", "b"]


def test_what_a_node_says_names_it():
    m = Model()
    m.output(m.node("Compress", m.input("x", [2]), m.input("mask", ["n"], BOOL)))
    session = InferenceSession(m.proto())
    with pytest.raises(ValueError, match=r"Compress 'Compress_0': input 1 .* has 3 values for"):
        session.run(None, {"x": np.ones(2, np.float32), "mask": np.ones(3, bool)})
