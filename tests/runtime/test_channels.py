"""Channels that are parted, woven or repeated between convolutions, where they lie."""

import numpy as np
import pytest

from pycompress import compress
from pycompress.runtime import InferenceSession
from tests.runtime.models import UINT8, Model, assert_close, reference


def ran(session, feeds):
    return [row.op for row in session.profile(feeds, repeats=1)]


def checked(m, feeds):
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    return ran(session, feeds)


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("allowzero", [0, 1])
def test_a_channel_shuffle_moves_within_pixels(groups, allowzero):
    """ShuffleNet: parted into groups, woven, joined."""
    m = Model()
    x = m.node("Conv", m.input("x", [2, 3, 7, 6]), m.weights(24, 3, 3, 3))
    apart, whole = np.array([2, groups, 24 // groups, 5, 4]), np.array([2, 24, 5, 4])
    x = m.node("Reshape", x, m.const(apart), allowzero=allowzero)
    x = m.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = m.node("Reshape", x, m.const(whole), allowzero=allowzero)
    a, b = m.node("Split", x, outputs=2, axis=1, num_outputs=2)
    m.output(m.node("Conv", m.node("Concat", b, a, axis=1), m.weights(8, 24, 1, 1)))
    feeds = {"x": m.rng.standard_normal((2, 3, 7, 6)).astype(np.float32)}
    assert checked(m, feeds).count("Transpose") == 3  # in, woven, out


def test_a_reshape_that_mixes_pixels_and_channels_is_none():
    m = Model()
    x = m.node("Conv", m.input("x", [1, 3, 6, 6]), m.weights(8, 3, 1, 1))
    y = m.node("Reshape", x, m.const(np.array([1, 4, 2, 36])))
    z = m.node("Reshape", x, m.const(np.array([1, 2, 24, 6])))
    m.output(m.node("ReduceSum", y, m.const(np.array([2])), keepdims=0))
    m.output(m.node("Conv", z, m.weights(4, 2, 3, 3)))
    checked(m, {"x": m.rng.standard_normal((1, 3, 6, 6)).astype(np.float32)})


def multiplied(m, times, stride):
    x = m.node("Relu", m.node("Conv", m.input("x", ["n", 3, 11, 9]), m.weights(8, 3, 3, 3)))
    w, b = m.weights(8 * times, 1, 3, 3), m.weights(8 * times)
    x = m.node("Conv", x, w, b, group=8, pads=[1] * 4, strides=[stride] * 2)
    m.output(m.node("Conv", m.node("Relu", x), m.weights(16, 8 * times, 1, 1)))
    return {"x": m.rng.standard_normal((2, 3, 11, 9)).astype(np.float32)}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("times", [2, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
def test_several_filters_to_a_channel(times, stride):
    m = Model()
    feeds = multiplied(m, times, stride)
    assert "Expand" in checked(m, feeds)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_several_filters_to_a_channel_in_integers(mode, tmp_path):
    m = Model()
    feeds = multiplied(m, 2, 1)
    model, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    model.write_bytes(m.proto().SerializeToString())
    compress(model, out, calibration=[feeds], mode=mode)
    session = InferenceSession(out)
    assert session.fallbacks == []
    (found,), (wanted,) = session.run(None, feeds), reference(m.proto(), feeds)
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
    assert "Expand" in ran(session, feeds)


def test_several_filters_to_a_channel_of_no_examples():
    m = Model()
    feeds = multiplied(m, 2, 1)
    checked(m, {"x": feeds["x"][:0]})


def whole(m, x):
    """One number of all elements, which has no channels to lie anywhere."""
    return m.node("ReduceMax", x, keepdims=0)


def by_channel(m, x):
    return m.node("ReduceMax", x, m.const(np.array([0, 2, 3])), keepdims=0)


def half(m, x):
    return m.node("Mul", x, m.const(np.float32(0.5)))


@pytest.mark.parametrize(
    "make",
    [
        lambda m, x: m.node("Sub", x, whole(m, x)),
        lambda m, x: m.node("Max", m.node("Neg", x), half(m, whole(m, x)), x),
        lambda m, x: m.node("Where", m.node("Greater", x, half(m, whole(m, x))), x, whole(m, x)),
        lambda m, x: m.node("Clip", x, m.const(np.float32(-1)), half(m, whole(m, x))),
        lambda m, x: m.node("Pad", x, m.const(np.array([0, 0, 1, 1] * 2)), whole(m, x)),
        lambda m, x: m.node("PRelu", x, whole(m, x)),
        lambda m, x: m.node("InstanceNormalization", x, by_channel(m, x), by_channel(m, x)),
        lambda m, x: m.dequantize(m.node("QuantizeLinear", x, half(m, whole(m, x))), 0.1, 0),
        lambda m, x: m.node("QuantizeLinear", x, by_channel(m, m.node("Abs", x)), axis=1),
    ],
    ids=["sub", "max", "where", "clip", "pad", "prelu", "norm", "quantize", "by_channel"],
)
def test_numbers_that_are_computed_of_all_pixels(make):
    m = Model()
    x = m.node("Conv", m.input("x", ["n", 3, 6, 5]), m.weights(4, 3, 3, 3))
    y = make(m, x)
    if m.nodes[-1].op_type == "QuantizeLinear":
        m.output(y, UINT8)
    else:
        m.output(m.node("Conv", y, m.weights(2, 4, 1, 1)))
    checked(m, {"x": m.rng.standard_normal((2, 3, 6, 5)).astype(np.float32)})
