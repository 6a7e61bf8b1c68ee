"""InstanceNormalization and GroupNorm between convolutions: one operator, channels last."""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession
from tests.native import run
from tests.runtime.models import Model, assert_close, reference

RNG = np.random.default_rng(11)


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def group_norm(x, scale, bias, groups, epsilon):
    n, channels = x.shape[0], x.shape[-1]
    parts = x.astype(np.float64).reshape(n, -1, groups, channels // groups)
    mean = parts.mean((1, 3), keepdims=True)
    deviation = np.sqrt(parts.var((1, 3), keepdims=True) + epsilon)
    return ((parts - mean) / deviation).reshape(x.shape) * scale + bias


@pytest.mark.parametrize("shape", [(1, 1, 6), (2, 5, 13, 6), (1, 64, 12), (3, 65, 1, 24)])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_against_its_definition(shape, groups):
    x = f32(*shape) * 3 + 40  # whose squares would swallow the deviations
    scale, bias = f32(shape[-1]), f32(shape[-1])
    attrs = {"groups": groups, "epsilon": 1e-3}
    (y,) = run("group_norm", [x, scale, bias], attrs)
    wanted = group_norm(x, scale, bias, groups, 1e-3)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=3e-4)
    (again,) = run("group_norm", [x, scale, bias], attrs, threads=3)
    np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize(
    ("inputs", "groups", "said"),
    [
        ([f32(2, 6), f32(6), f32(6)], 2, "at least 3 dimensions"),
        ([f32(2, 3, 6), f32(6), f32(6)], 4, "must divide 6 channels, found 4"),
        ([f32(2, 3, 6), f32(6), f32(6)], 0, "must divide 6 channels, found 0"),
        ([f32(2, 3, 6), f32(5), f32(6)], 2, r"input 1 has shape \[5\], wanted \[6\]"),
        ([f32(2, 3, 6), f32(6), f32(3)], 2, r"input 2 has shape \[3\], wanted \[6\]"),
    ],
)
def test_what_does_not_fit(inputs, groups, said):
    with pytest.raises(ValueError, match=said):
        run("group_norm", inputs, {"groups": groups})


def written(m, x, channels, groups, size, *, affine=True, batch="n"):
    """GroupNorm in the words of torch.onnx."""
    y = m.node("Reshape", x, m.const(np.array([0, groups, -1])))
    ones, zeros = np.full(groups, 0.5, np.float32), np.full(groups, 0.25, np.float32)
    y = m.node("InstanceNormalization", y, m.const(ones), m.const(zeros), epsilon=1e-3)
    y = m.node("Reshape", y, m.const(np.array([-1 if batch == "n" else batch, channels, *size])))
    if affine:
        y = m.node("Mul", y, m.weights(channels, 1, 1))
        y = m.node("Add", y, m.weights(1, channels, 1, 1))
    return y


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("groups", [1, 4, 8])
def test_between_convolutions_nothing_is_transposed(groups, affine):
    m = Model()
    x = m.node("Conv", m.input("x", [2, 3, 7, 9]), m.weights(8, 3, 3, 3), pads=[1] * 4)
    x = m.node("Relu", written(m, x, 8, groups, (7, 9), affine=affine, batch=2))
    x = m.node("Conv", x, m.weights(8, 8, 1, 1))
    norm = [m.weights(8), m.weights(8)]
    x = m.node("LeakyRelu", m.node("InstanceNormalization", x, *norm))
    m.output(m.node("Conv", x, m.weights(4, 8, 1, 1)))
    feeds = {"x": f32(2, 3, 7, 9)}
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    found = [row.op for row in session.profile(feeds, repeats=1)]
    assert found.count("group_norm") == 2
    assert found.count("Transpose") == 2
    assert not {"InstanceNormalization", "Mul", "Add", "Reshape"} & set(found)


def test_groups_that_are_read_elsewhere_stay():
    m = Model()
    x = m.node("Conv", m.input("x", [1, 3, 7, 9]), m.weights(8, 3, 3, 3), pads=[1] * 4)
    y = written(m, x, 8, 2, (7, 9), batch=1)
    norm = next(n for n in m.nodes if n.op_type == "InstanceNormalization")
    m.output(m.node("ReduceMax", norm.output[0], keepdims=0))
    m.output(m.node("Conv", y, m.weights(4, 8, 1, 1)))
    feeds = {"x": f32(1, 3, 7, 9)}
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_an_instance_norm_of_its_own_keeps_its_layout():
    m = Model()
    norm = [m.weights(5), m.weights(5)]
    m.output(m.node("InstanceNormalization", m.input("x", ["n", 5, 33]), *norm))
    feeds = {"x": f32(2, 5, 33)}
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    found = {row.op for row in session.profile(feeds, repeats=1)}
    assert found == {"InstanceNormalization"}
