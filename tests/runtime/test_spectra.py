"""Fourier transforms run natively, as products.

NumPy in float64 says what is right: onnxruntime's own transforms are off by 1e-5.
"""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession
from pycompress.runtime.notices import FallbackWarning
from tests.graph.models import Model
from tests.runtime.models import assert_close, reference


def answer(m, feeds, expected_op):
    session = InferenceSession(m.proto(), num_threads=1)
    assert session.fallbacks == []
    assert expected_op in {row.op for row in session.profile(feeds, repeats=1)}
    return session.run(None, feeds)


def signal(m, *shape):
    return m.rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize("window", [True, False])
def test_stft(onesided, trailing, window):
    m = Model()
    x = m.input("x", ["n", "t", 1] if trailing else ["n", "t"])
    hann = m.const(np.hanning(24).astype(np.float32)) if window else ""
    length = m.const(np.int64(24)) if not window or trailing else ""
    m.output(m.node("STFT", x, m.const(np.int64(7)), hann, length, onesided=onesided))
    feeds = {"x": signal(m, 2, 100, 1) if trailing else signal(m, 2, 100)}
    (found,) = answer(m, feeds, "conv")
    frames = np.stack([feeds["x"].reshape(2, 100)[:, i * 7 : i * 7 + 24] for i in range(11)], 1)
    frames = frames.astype(np.float64) * (np.hanning(24) if window else 1)
    spectrum = np.fft.fft(frames)[..., : 13 if onesided else 24]
    np.testing.assert_allclose(found[..., 0], spectrum.real, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found[..., 1], spectrum.imag, rtol=0, atol=2e-5)


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("axis", [1, 2, -2])
@pytest.mark.parametrize(
    ("parts", "attrs"),
    [(1, {"onesided": 1}), (1, {}), (2, {}), (2, {"inverse": 1}), (1, {"inverse": 1})],
)
def test_dft(opset, axis, parts, attrs):
    m = Model(opset=opset)
    x = m.input("x", ["n", 6, 10, parts])
    if opset == 20:
        y = m.node("DFT", x, "", m.const(np.int64(axis)), **attrs)
    else:
        y = m.node("DFT", x, axis=axis, **attrs)
    m.output(y)
    feeds = {"x": signal(m, 3, 6, 10, parts)}
    (found,) = answer(m, feeds, "linear")
    x = feeds["x"].astype(np.float64)
    x = x[..., 0] + 1j * (x[..., 1] if parts == 2 else 0)
    function = np.fft.ifft if attrs.get("inverse") else np.fft.fft
    wanted = function(x, axis=1 if axis == 1 else 2)
    if attrs.get("onesided"):
        wanted = wanted[:, :4] if axis == 1 else wanted[:, :, :6]
    assert found.shape == (*wanted.shape, 2)
    np.testing.assert_allclose(found[..., 0], wanted.real, rtol=0, atol=5e-6)
    np.testing.assert_allclose(found[..., 1], wanted.imag, rtol=0, atol=5e-6)


@pytest.mark.parametrize("length", [5, 10, 16])
def test_dft_of_another_length_pads_or_cuts(length):
    m = Model()
    x = m.input("x", ["n", 10, 1])
    m.output(m.node("DFT", x, m.const(np.int64(length)), axis=1, onesided=1))
    feeds = {"x": signal(m, 3, 10, 1)}
    (found,) = answer(m, feeds, "linear")
    spectrum = np.fft.rfft(feeds["x"][..., 0].astype(np.float64), length)
    np.testing.assert_allclose(found[..., 0], spectrum.real, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[..., 1], spectrum.imag, rtol=0, atol=1e-5)


def test_a_long_transform_is_left_to_others():
    m = Model()
    x = m.input("x", [1, 2048, 1])
    m.output(m.node("DFT", x, axis=1, onesided=1))
    with pytest.warns(FallbackWarning, match="DFT"):
        session = InferenceSession(m.proto())
    feeds = {"x": signal(m, 1, 2048, 1)}
    assert_close(session.run(None, feeds), reference(m.proto(), feeds), 1e-6)
