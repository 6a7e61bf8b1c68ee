"""Nodes without a native kernel: one onnxruntime session for each group, or the reference."""

import warnings

import numpy as np
import onnx
import pytest

from pycompress.runtime import FallbackWarning, InferenceSession, peer
from pycompress.runtime.fallback import ReferenceStep
from pycompress.runtime.peer import PeerStep

from .models import Model, assert_close, reference

DOUBLE = onnx.TensorProto.DOUBLE


def two_groups():
    """Return a model with two groups of nodes that have no kernel, native nodes around them."""
    m = Model()
    x = m.input("x", ["n", 4, 4])
    y = m.node("MatMul", x, m.weights(4, 4))
    d = m.node("Det", m.node("LpPool", y, kernel_shape=[1]))
    rows = m.node("Unsqueeze", m.node("Relu", d), m.const(np.array([1, 2])))
    e = m.node("LpPool", rows, kernel_shape=[1])
    m.output(m.node("Add", e, d))
    return m, {"x": m.rng.standard_normal((3, 4, 4)).astype(np.float32)}


def session_of(m, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = InferenceSession(m.proto(), **options)
    return session, [str(w.message) for w in caught if w.category is FallbackWarning]


def foreign(session):
    return [s for s in session._executable.steps if isinstance(s, PeerStep | ReferenceStep)]


@pytest.mark.parametrize("fallback", ["auto", "onnxruntime"])
def test_nodes_that_follow_each_other_share_a_session(fallback):
    m, feeds = two_groups()
    session, warned = session_of(m, fallback=fallback)
    assert session.fallbacks == ["LpPool", "Det"]
    assert len(warned) == 2
    assert all("runs through onnxruntime: no native kernel" in text for text in warned)
    assert [type(s) for s in foreign(session)] == [PeerStep, PeerStep]
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    rows = {row.op: row.engine for row in session.profile(feeds, repeats=1)}
    assert rows["LpPool + Det"] == rows["LpPool"] == "onnxruntime"
    assert rows["Relu"] == "native"


def test_the_reference_runs_node_by_node():
    m, feeds = two_groups()
    session, warned = session_of(m, fallback="onnx.reference")
    assert [type(s) for s in foreign(session)] == [ReferenceStep] * 3
    assert all("runs through onnx.reference" in text for text in warned)
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_without_onnxruntime_the_reference_runs(monkeypatch):
    m, feeds = two_groups()
    monkeypatch.setattr(peer, "is_installed", lambda: False)
    session, _ = session_of(m)
    assert all(isinstance(s, ReferenceStep) for s in foreign(session))
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pycompress\[ort\]'"):
        InferenceSession(m.proto(), fallback="onnxruntime")


def test_what_onnxruntime_does_not_take_goes_to_the_reference():
    m = Model()
    x = m.input("x", [2, 2], DOUBLE)
    m.output(m.node("Neg", m.node("Det", x)), DOUBLE)  # onnxruntime has Det for float32
    session, warned = session_of(m, fallback="onnxruntime")
    assert len(warned) == len(session.fallbacks) > 0
    assert all("runs through onnx.reference" in text for text in warned)
    (found,) = session.run(None, {"x": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert found == pytest.approx(2.0)


def test_a_mask_that_the_model_gives_out_keeps_its_dropout():
    m = Model()
    for name, element in zip(
        m.node("Dropout", m.input("x", [2, 3]), outputs=2), (1, 9), strict=True
    ):
        m.output(name, element)
    feeds = {"x": np.ones((2, 3), np.float32)}
    session, _ = session_of(m)
    assert session.fallbacks == ["Dropout"]
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_an_unknown_fallback_is_named():
    m, _ = two_groups()
    with pytest.raises(ValueError, match="fallback: found 'magic', wanted auto"):
        InferenceSession(m.proto(), fallback="magic")
