"""QuantizeLinear in front of Concat and Resize: the same bytes, and fewer floats that are moved."""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession, executable
from tests.runtime.models import UINT8, Model, assert_within_one, reference


def pyramid(read_twice=False, mode="nearest"):
    """Two levels that are resized, joined and quantized, as the neck of a detector does it."""
    m = Model()
    x = m.input("x", ["n", 3, 8, 10])
    levels = []
    for step, factor in ((1, 2.0), (2, 4.0)):
        level = m.node("Relu", m.node("Conv", x, m.weights(5, 3, 1, 1), strides=[step, step]))
        scales = m.const(np.array([1, 1, factor, factor], np.float32))
        attrs = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
        levels.append(m.node("Resize", level, "", scales, **attrs))
    joined = m.node("Concat", *levels, levels[0], axis=1)
    m.output(m.quantize(joined, 0.02, 7), UINT8)
    if read_twice:
        m.output(m.node("Abs", joined))
    feeds = {"x": m.rng.standard_normal((2, 3, 8, 10)).astype(np.float32)}
    if mode == "nearest":  # engines differ in what they make of them between two pixels
        feeds["x"][0, 0, 0, :3] = np.nan, np.inf, -np.inf
    return m.proto(), feeds


def shapes_of_quantized(session, feeds):
    rows = session.profile(feeds, repeats=1)
    return sorted(row.shape for row in rows if row.op == "QuantizeLinear")


@pytest.mark.parametrize(
    ("options", "quantized"),
    [
        ({}, []),  # they reach the layers, which give bytes
        ({"mode": "linear"}, [(2, 16, 20, 5)] * 2),  # makes new numbers: only Concat is passed
        ({"read_twice": True}, [(2, 16, 20, 15)]),
    ],
)
def test_the_same_bytes_from_fewer_floats(options, quantized, monkeypatch):
    proto, feeds = pyramid(**options)
    session = InferenceSession(proto)
    found = session.run(None, feeds)
    assert_within_one(found[0], reference(proto, feeds)[0])
    assert shapes_of_quantized(session, feeds) == quantized
    monkeypatch.setattr(executable, "sink", lambda graph: graph)
    np.testing.assert_array_equal(found[0], InferenceSession(proto).run(None, feeds)[0])


def test_a_graph_output_that_is_joined_stays_float():
    m = Model()
    x, y = m.input("x", [2, 3]), m.input("y", [2, 5])
    joined = m.node("Concat", x, y, axis=1)
    m.output(joined)
    m.output(m.quantize(joined, 0.1, 3), UINT8)
    feeds = {"x": np.ones((2, 3), np.float32), "y": np.zeros((2, 5), np.float32)}
    session = InferenceSession(m.proto())
    for found, wanted in zip(session.run(None, feeds), reference(m.proto(), feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert shapes_of_quantized(session, feeds) == [(2, 8)]
