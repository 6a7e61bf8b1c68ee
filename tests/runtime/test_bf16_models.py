"""Sessions whose float layers run by way of bfloat16."""

import numpy as np
import pytest

import pycompress as pc
from pycompress.runtime import InferenceSession, PlanWarning
from tests import native, oracle_conv
from tests.oracle_bf16 import rounded
from tests.runtime.models import Model, reference


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("activation", ["", "relu", "tanh"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.usefixtures("isa")
def test_linear(activation, residual):
    rng = np.random.default_rng(1)
    x, w, bias = normal(rng, 2, 7, 33), normal(rng, 33, 70), normal(rng, 70)
    extra = normal(rng, 2, 7, 70) if residual else None
    attrs = {"activation": activation} if activation else {}
    (y,) = native.run("linear_bf16", [x, w, bias, extra], attrs, constants=(1, 2), threads=2)
    wanted = rounded(x).astype(np.float64) @ rounded(w) + bias + (extra if residual else 0)
    wanted = {"": wanted, "relu": np.maximum(wanted, 0), "tanh": np.tanh(wanted)}[activation]
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 20])
@pytest.mark.parametrize("activation", ["", "relu", "sigmoid"])
@pytest.mark.usefixtures("isa")
def test_convolution(activation, channels):
    rng = np.random.default_rng(2)
    x, w, bias = normal(rng, 2, 9, 8, channels), normal(rng, 17, channels, 3, 3), normal(rng, 17)
    attrs = {"pads": [1, 1, 1, 1]} | ({"activation": activation} if activation else {})
    extra = normal(rng, 2, 9, 8, 17)
    (y,) = native.run("conv_bf16", [x, w, bias, extra], attrs, constants=(1, 2), threads=2)
    sums = oracle_conv.conv(rounded(x).astype(np.float64), rounded(w), pads=[1, 1, 1, 1])
    sums = sums + bias + extra
    wanted = {"": sums, "relu": np.maximum(sums, 0), "sigmoid": 1 / (1 + np.exp(-sums))}
    np.testing.assert_allclose(y, wanted[activation], rtol=1e-4, atol=1e-4)


def test_integer_weights_are_those_that_they_stand_for(isa):
    rng = np.random.default_rng(3)
    x, w = normal(rng, 5, 33), rng.integers(-127, 128, (33, 20), dtype=np.int8)
    scale = rng.uniform(0.01, 0.02, 20).astype(np.float32)
    (y,) = native.run("linear_bf16", [x, w], {"w_scale": scale}, constants=(1,))
    wanted = rounded(x).astype(np.float64) @ rounded(w * scale)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4, err_msg=isa)


@pytest.mark.parametrize(
    ("op", "attrs", "message"),
    [
        ("linear_bf16", {"w_scale": [1.0], "dynamic": 1}, "the layer is one of integers"),
        ("conv_bf16", {"w_scale": [1.0], "group": 2}, "attribute group is not 1"),
    ],
)
def test_what_has_no_kernel_is_said(op, attrs, message):
    w = np.ones((4, 4) if op == "linear_bf16" else (4, 2, 3, 3), np.int8)
    x = np.ones((1, 4) if op == "linear_bf16" else (1, 5, 5, 4), np.float32)
    with pytest.raises(ValueError, match=message):
        native.run(op, [x, w], attrs, constants=(1,))


def network():
    """Convolutions of few and many channels, depthwise, and a linear layer."""
    m = Model()
    x = m.input("x", ["n", 3, 12, 14])
    x = m.node("Relu", m.node("Conv", x, m.weights(20, 3, 3, 3), m.weights(20), pads=[1] * 4))
    x = m.node("Conv", x, m.weights(20, 1, 3, 3), group=20)
    y = m.node("Sigmoid", m.node("Conv", x, m.weights(20, 20, 3, 3), pads=[1] * 4))
    x = m.node("GlobalAveragePool", m.node("Add", x, y))
    m.output(m.node("MatMul", m.node("Flatten", x), m.weights(20, 9)))
    return m.proto(), {"x": normal(m.rng, 3, 3, 12, 14)}


@pytest.mark.usefixtures("isa")
def test_a_session_is_near_the_float_one():
    proto, feeds = network()
    session = InferenceSession(proto, float_format="bfloat16", profiling=True)
    assert session.fallbacks == []
    (found,), (wanted,) = session.run(None, feeds), reference(proto, feeds)
    off = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 0 < off < 0.01
    exact = InferenceSession(proto).run(None, feeds)[0]
    np.testing.assert_allclose(exact, wanted, rtol=1e-4, atol=1e-5)


def test_a_plan_keeps_the_format(isa, tmp_path):
    proto, feeds = network()
    session = InferenceSession(proto, float_format="bfloat16")
    wanted = session.run(None, feeds)[0]
    session.save(tmp_path / "m.plan")
    np.testing.assert_array_equal(InferenceSession(tmp_path / "m.plan").run(None, feeds)[0], wanted)
    for other in pc.available_isas():
        if other == isa:
            continue
        pc.use_isa(other)
        with pytest.warns(PlanWarning, match=f"made for {isa}"):
            moved = InferenceSession(tmp_path / "m.plan")
        fresh = InferenceSession(proto, float_format="bfloat16")
        np.testing.assert_array_equal(moved.run(None, feeds)[0], fresh.run(None, feeds)[0])


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="must be 'float32' or 'bfloat16', got 'float16'"):
        InferenceSession(network()[0], float_format="float16")
