"""What a layer quantizes for the next one: the bits that the next one would make itself."""

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.readers import read
from pycompress.runtime import InferenceSession, executable
from tests import oracle_conv as oracle
from tests.native import program, run
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


IMAGES = [  # x, w, window: every path of a convolution, tall and flat, one and several images
    ((1, 9, 7, 24), (40, 24, 1, 1), {}),
    ((2, 8, 9, 16), (33, 16, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 15, 6, 3), (8, 3, 5, 3), {"pads": [2, 1, 2, 1], "strides": [2, 1]}),
    ((1, 12, 12, 64), (64, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 64}),
    ((2, 13, 9, 40), (40, 1, 5, 5), {"pads": [2, 2, 2, 2], "strides": [2, 2], "group": 40}),
    ((1, 7, 6, 12), (9, 4, 3, 3), {"pads": [1, 1, 1, 1], "group": 3}),
    ((1, 3, 5, 8), (6, 8, 3, 3), {}),  # too small for a probe
    ((3, 20, 5), (6, 5, 4), {}),
]


def image_layer(index):
    x_shape, w_shape, window = IMAGES[index]
    w = RNG.integers(-127, 128, w_shape).astype(np.int8)
    scale = RNG.uniform(0.5, 1.5, len(w)).astype(np.float32) / np.float32(
        127 * np.sqrt(np.prod(w_shape[1:]))
    )
    return f32(*x_shape), w, f32(len(w)), {**window, "w_scale": scale, "dynamic": 1}


def range_found(y):
    low, high = min(y.min(initial=0), np.float32(0)), max(y.max(initial=0), np.float32(0))
    scale = (high - low) / np.float32(255) if high > low else np.float32(1)
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def quantized(y, scale, zero):
    q = np.rint(y / scale)
    return np.clip(np.where(np.isnan(q), -np.inf, q) + zero, 0, 255).astype(np.uint8)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("bounds", [None, (0.0, 100.0), (-0.25, 100.0), "hard_swish", "relu"])
@pytest.mark.parametrize("index", range(len(IMAGES)))
def test_a_convolution_quantizes_its_result(index, bounds, keeps):
    x, w, bias, attrs = image_layer(index)
    if isinstance(bounds, str):
        attrs["activation"] = bounds
    elif bounds is not None:  # the upper end is not reached
        attrs |= {"activation": "clip", "alpha": bounds[0], "beta": bounds[1]}
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2))
    p = program(
        "conv",
        [x, w, bias],
        attrs | {"y_dynamic": 1},
        outputs=3 + keeps,
        constants=(1, 2),
        threads=1 + 2 * (index % 2),
    )
    for _ in range(3):  # with a guess, and without
        first, scale, zero, *rest = p.run([x])
        q = rest[0] if keeps else first
        assert (scale.shape, zero.shape, q.dtype) == ((), (), UINT8)
        assert (scale, zero) == range_found(y)
        np.testing.assert_array_equal(q, quantized(y, scale, zero))
        if keeps:
            np.testing.assert_array_equal(first, y)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("low", [0.0, -0.25, 0.125])
@pytest.mark.parametrize("index", range(len(IMAGES)))
def test_a_clamp_whose_ends_are_reached_rounds_once(index, low):
    x, w, bias, attrs = image_layer(index)
    window = {k: v for k, v in attrs.items() if k in {"pads", "strides", "group"}}
    attrs |= {"activation": "clip", "alpha": low, "beta": 0.5}
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2))
    assert (y.min(), y.max()) == (np.float32(low), np.float32(0.5))
    q, scale, zero = run(
        "conv",
        [x, w, bias],
        attrs | {"y_dynamic": 1},
        outputs=3,
        constants=(1, 2),
        threads=1 + 2 * (index % 2),
    )
    assert (scale, zero) == range_found(y)
    x_scale, x_zero = range_found(x)
    sums = oracle.conv_sums(quantized(x, x_scale, x_zero), x_zero, w, **window)
    sums_scale = oracle.multiplier(x_scale, attrs["w_scale"], by=scale)
    wanted = oracle.finish(
        sums,
        sums_scale,
        oracle.multiplier(bias, by=scale),
        lo=oracle.multiplier(low, by=scale),
        hi=oracle.multiplier(np.float32(0.5), by=scale),
    )
    flat = y.size < 6 * 3 * y.shape[-1]
    wanted = quantized(y, scale, zero) if flat else oracle.requantize(wanted, zero, np.uint8)
    np.testing.assert_array_equal(q, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_clamp_of_what_is_not_finite(special):
    x, w, bias, attrs = image_layer(1)
    x[0, 3, 3, 3] = special
    attrs |= {"activation": "clip", "alpha": 0.0, "beta": 0.5}
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2))
    q, scale, zero = run(
        "conv", [x, w, bias], attrs | {"y_dynamic": 1}, outputs=3, constants=(1, 2)
    )
    assert (scale, zero) == range_found(np.nan_to_num(y))
    assert np.abs(q.astype(int) - quantized(y, scale, zero)).max() <= 1


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_convolution_takes_what_another_one_quantized(index):
    x, w, bias, attrs = image_layer(index)
    (wanted,) = run("conv", [x, w, bias], attrs, constants=(1, 2))
    scale, zero = range_found(x)
    handed = [np.asarray(scale, np.float32), np.asarray(zero, np.int32)]
    (y,) = run("conv", [quantized(x, scale, zero), w, bias, None, *handed], attrs, constants=(1, 2))
    np.testing.assert_array_equal(y, wanted)


SCALE2 = np.ones(2, np.float32)
IMAGE, KERNEL = np.zeros((1, 4, 4, 4), np.uint8), np.ones((6, 4, 1, 1), np.int8)
ONE, NONE = np.ones((), np.float32), np.zeros((), np.int32)
BLIND = {"w_scale": [1.0], "dynamic": 1}


@pytest.mark.parametrize(
    ("inputs", "attrs", "outputs", "said"),
    [
        ([IMAGE, KERNEL, None, None, ONE], BLIND, 1, "come together"),
        (
            [IMAGE, KERNEL, None, None, ONE, NONE],
            {"w_scale": [1.0], "x_scale": 1.0},
            1,
            "'dynamic'",
        ),
        ([IMAGE, KERNEL, None, None, SCALE2, NONE], BLIND, 1, r"shape \[2\], wanted \[\]"),
        ([f32(1, 4, 4, 4), KERNEL, None, None, ONE, NONE], BLIND, 1, "must be uint8"),
        ([f32(1, 4, 4, 4), KERNEL], BLIND | {"y_dynamic": 1}, 1, "1 outputs, wanted 3 or 4"),
        ([f32(1, 4, 4, 4), KERNEL], BLIND, 3, "3 outputs, wanted 1"),
        (
            [IMAGE, KERNEL],
            {"w_scale": [1.0], "x_scale": 1.0, "y_scale": 1.0, "y_dynamic": 1},
            3,
            "without 'y_scale'",
        ),
    ],
)
def test_convolutions_refuse(inputs, attrs, outputs, said):
    with pytest.raises(ValueError, match=said):
        run("conv", inputs, attrs, outputs=outputs, constants=(1,))


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
    for hand_over in (executable.hand_over, lambda graph, **_: graph):
        monkeypatch.setattr(executable, "hand_over", hand_over)
        found.append(InferenceSession(path).run(None, feeds))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.undo()
    graph = executable.prepare(read(path))
    assert any("y_by_row" in node.attrs for node in graph.nodes) == handed


def convolutions(kind):
    """Conv -> Conv of a kind; `read twice`: the first one's result is an output, too."""
    m = Model()
    x = m.input("x", ["n", 4, 16, 16])
    hidden = m.node("Conv", x, m.weights(16, 4, 3, 3), pads=[1, 1, 1, 1])
    hidden = (
        m.node("Clip", hidden, m.const(np.float32(0)), m.const(np.float32(0.5)))
        if kind == "clip"
        else m.node("Relu", hidden)
    )
    y = m.node("Conv", hidden, m.weights(16, 16, 3, 3), pads=[1, 1, 1, 1])
    m.output(y)
    if kind == "read twice":
        m.output(hidden)
    return m.proto(opset=20)


@pytest.mark.parametrize(("kind", "outputs"), [("clip", 3), ("relu", 3), ("read twice", 4)])
def test_compressed_convolutions(kind, outputs, tmp_path, monkeypatch):
    source, path = tmp_path / "float.onnx", tmp_path / "m.onnx"
    onnx.save(convolutions(kind), source)
    pycompress.compress(source, path, mode="dynamic", never_slower=False)
    feeds = {"x": f32(2, 4, 16, 16)}
    found = []
    for hand_over in (executable.hand_over, lambda graph, **_: graph):
        monkeypatch.setattr(executable, "hand_over", hand_over)
        found.append(InferenceSession(path).run(None, feeds))
    # A clamp may round its sums once: a few of the values between move by one quantum.
    atol = 0.02 if kind == "clip" else 0.0
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    monkeypatch.undo()
    graph = executable.prepare(read(path))
    handed = [len(node.outputs) for node in graph.nodes if "y_dynamic" in node.attrs]
    assert handed == [outputs]
