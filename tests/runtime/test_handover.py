"""Rows that a layer quantizes for the next one: the bits that the next one would make itself."""

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.readers import read
from pycompress.runtime import InferenceSession, executable
from tests.native import run
from tests.runtime.models import Model

RNG = np.random.default_rng(8)
UINT8, FLOAT, INT32 = map(np.dtype, (np.uint8, np.float32, np.int32))


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def layer(k, n):
    w = RNG.integers(-127, 128, (k, n)).astype(np.int8)
    return w, {"w_scale": RNG.uniform(0.001, 0.003, n).astype(np.float32), "dynamic": 1}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 5, 1, 3), (7, 16, 33, 8), (400, 8, 260, 17), (0, 4, 5, 6)])
def test_two_layers(shape, threads):
    rows, k, middle, n = shape
    (w, first), (v, second) = layer(k, middle), layer(middle, n)
    x, bias, residual = f32(rows, k), f32(middle), f32(rows, n)
    first |= {"by_row": 1, "activation": "gelu"}
    second |= {"by_row": 1}
    (hidden,) = run("linear", [x, w, bias], first, constants=(1, 2))
    (wanted,) = run("linear", [hidden, v, None, residual], second, constants=(1,))
    handed = first | {"y_by_row": 1}
    q, scale, zero = run(
        "linear", [x, w, bias], handed, outputs=3, constants=(1, 2), threads=threads
    )
    assert (q.dtype, scale.dtype, zero.dtype) == (UINT8, FLOAT, INT32)
    assert scale.shape == zero.shape == (rows,)
    step = (hidden.max(1, initial=0) - hidden.min(1, initial=0)) / np.float32(255)
    np.testing.assert_allclose(
        scale[:, None] * (q - zero[:, None]), hidden, atol=step.max(initial=0)
    )
    (y,) = run(
        "linear", [q, v, None, residual, scale, zero], second, constants=(1,), threads=threads
    )
    np.testing.assert_array_equal(y, wanted)


W, ATTRS = layer(4, 6)
ROWS = ATTRS | {"by_row": 1}
Q, SCALE, ZERO = np.zeros((2, 4), np.uint8), np.ones(2, np.float32), np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("inputs", "attrs", "outputs", "said"),
    [
        ([Q, W, None, None, SCALE, ZERO], ATTRS, 1, "'dynamic' and 'by_row'"),
        ([Q, W, None, None, SCALE], ROWS, 1, "come together"),
        ([Q, W, None, None, SCALE[:1], ZERO], ROWS, 1, r"x_scale\) has shape \[1\], wanted \[2\]"),
        ([f32(2, 4), W, None, None, SCALE, ZERO], ROWS, 1, "must be uint8"),
        ([f32(2, 4), W], ROWS | {"y_by_row": 1}, 3, "no clamp"),
        ([f32(2, 4), W], ROWS | {"y_by_row": 1, "activation": "gelu"}, 1, "1 outputs, wanted 3"),
    ],
)
def test_refusals(inputs, attrs, outputs, said):
    with pytest.raises(ValueError, match=said):
        run("linear", inputs, attrs, outputs=outputs, constants=(1,))


def perceptron(activation, read_twice):
    m = Model()
    hidden = m.node(activation, m.node("MatMul", m.input("x", ["n", 64]), m.weights(64, 256)))
    m.output(m.node("MatMul", hidden, m.weights(256, 48)))
    if read_twice:
        m.output(hidden)
    return m.proto(opset=20)


@pytest.mark.parametrize(
    ("activation", "read_twice", "handed"),
    [
        ("Gelu", False, True),
        ("Sigmoid", False, True),
        ("Gelu", True, False),
        ("Relu", False, False),
    ],
)
def test_a_compressed_perceptron(activation, read_twice, handed, tmp_path, monkeypatch):
    source, path = tmp_path / "float.onnx", tmp_path / "m.onnx"
    onnx.save(perceptron(activation, read_twice), source)
    pycompress.compress(source, path, mode="dynamic", never_slower=False)
    feeds = {"x": f32(70, 64)}
    found = []
    for hand_over in (executable.hand_over, lambda graph: graph):
        monkeypatch.setattr(executable, "hand_over", hand_over)
        found.append(InferenceSession(path).run(None, feeds))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.undo()
    graph = executable.prepare(read(path))
    assert any("y_by_row" in node.attrs for node in graph.nodes) == handed
