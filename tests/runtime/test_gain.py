"""A factor and a summand behind an activation: part of the layer, to the same numbers."""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession
from tests.native import run
from tests.runtime.models import UINT8, Model, assert_close, assert_within_one, reference

RNG = np.random.default_rng(3)
GAIN, SHIFT = np.float32(0.37), np.float32(-0.2)
FUNCTIONS = {
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "hard_swish": lambda x: x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1),
}


def rows(m, k, n):
    x, w = RNG.integers(0, 256, (m, k)).astype(np.uint8), RNG.integers(-127, 128, (k, n))
    scale = RNG.uniform(0.001, 0.003, n).astype(np.float32)
    sums = ((x.astype(np.int64) - 120) @ w).astype(np.float32) * (np.float32(0.02) * scale)
    return x, w.astype(np.int8), scale, sums


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize(("m", "k", "n"), [(1, 5, 1), (7, 16, 33), (300, 8, 17)])
def test_of_a_linear_layer(m, k, n, activation):
    x, w, scale, sums = rows(m, k, n)
    attrs = {"w_scale": scale, "x_scale": 0.02, "x_zero": 120, "activation": activation}
    attrs |= {"gain": float(GAIN), "shift": float(SHIFT)}
    wanted = FUNCTIONS[activation](sums) * GAIN + SHIFT
    (y,) = run("linear", [x, w], attrs, constants=(1,), threads=2)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    for dtype, zero in ((np.uint8, 7), (np.int8, -3)):
        to = {"y_scale": 0.01, "y_zero": zero, "y_dtype": np.dtype(dtype).name}
        (q,) = run("linear", [x, w], attrs | to, constants=(1,), threads=2)
        info = np.iinfo(dtype)
        exact = np.clip(np.rint(y / np.float32(0.01)) + zero, info.min, info.max)
        np.testing.assert_array_equal(q, exact.astype(dtype))


def blocks(integers, read_twice=False):
    """Convolutions with an activation and a learnt affine block behind each."""
    m = Model(1)
    x = m.input("x", ["n", 3, 9, 11])
    x = m.quantized(x, 0.02, 120) if integers else x
    for channels, depth, group in ((16, 3, 1), (16, 16, 16)):
        shape = (channels, depth // group, 3, 3)
        w = m.integer_weights(*shape)[0] if integers else m.weights(*shape)
        y = m.node("HardSwish", m.node("Conv", x, w, group=group, pads=[1] * 4))
        gained = m.node("Mul", m.const(np.array([0.6], np.float32)), y)
        x = m.node("Add", gained, m.const(np.array([-0.25], np.float32)))
        x = m.quantized(x, 0.02, 30) if integers else x
    if read_twice:
        m.output(gained)
    if integers:
        m.output(m.quantize(x, 0.02, 30), UINT8)
    else:
        m.output(x)
    return m, {"x": m.rng.standard_normal((2, 3, 9, 11)).astype(np.float32)}


def operators(session, feeds):
    return sorted(row.op for row in session.profile(feeds, repeats=1))


def test_float_blocks_are_layers():
    m, feeds = blocks(integers=False)
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert not {"Mul", "Add", "HardSwish"} & set(operators(session, feeds))


def test_integers_stay_integers_from_layer_to_layer():
    m, feeds = blocks(integers=True)
    session = InferenceSession(m.proto())
    assert_within_one(session.run(None, feeds)[0], reference(m.proto(), feeds)[0], rate=0.02)
    found = operators(session, feeds)
    assert not {"Mul", "Add", "HardSwish", "DequantizeLinear"} & set(found)
    assert found.count("QuantizeLinear") == 1


def test_a_product_that_is_read_elsewhere_stays():
    m, feeds = blocks(integers=False, read_twice=True)
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert "Add" in operators(session, feeds)
