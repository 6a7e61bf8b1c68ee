"""Float models of each kind equal onnxruntime, natively."""

import numpy as np
import pytest

from pycompress.graph import export, simplify
from pycompress.graph.passes import SIMPLIFIED
from pycompress.readers import read
from pycompress.runtime import InferenceSession
from tests.runtime.models import INT64, Model, assert_close, reference


def residual_cnn():
    """Convolutions with BatchNorm and a residual, a depthwise one, a pool, a linear layer."""
    m = Model()
    x = m.input("x", ["n", 3, 19, 17])
    stem = m.node(
        "Relu",
        m.batch_norm(m.node("Conv", x, m.weights(16, 3, 3, 3), pads=[1] * 4, strides=[2, 2]), 16),
    )
    deep = m.node("Conv", stem, m.weights(16, 1, 3, 3), m.weights(16), group=16, pads=[1] * 4)
    deep = m.node("Clip", deep, m.const(np.float32(0)), m.const(np.float32(6)))
    deep = m.node("Conv", deep, m.weights(16, 16, 1, 1))
    joined = m.node("Relu", m.node("Add", deep, stem))
    pooled = m.node("MaxPool", joined, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    flat = m.node("Flatten", m.node("GlobalAveragePool", pooled))
    m.output(m.node("Gemm", flat, m.weights(16, 10), m.weights(10)))
    return m, {"x": m.rng.standard_normal((2, 3, 19, 17)).astype(np.float32)}


def squeeze_and_excite():
    """A gate computed from the pooled tensor, by hard-sigmoid; hard-swish around it."""
    m = Model()
    x = m.input("x", ["n", 8, "h", "w"])
    y = m.node("HardSwish", m.node("Conv", x, m.weights(24, 8, 3, 3), pads=[1] * 4))
    gate = m.node("GlobalAveragePool", y)
    gate = m.node("Relu", m.node("Conv", gate, m.weights(6, 24, 1, 1), m.weights(6)))
    gate = m.node("HardSigmoid", m.node("Conv", gate, m.weights(24, 6, 1, 1)), alpha=0.2, beta=0.5)
    m.output(m.node("Mul", y, gate))
    return m, {"x": m.rng.standard_normal((1, 8, 9, 14)).astype(np.float32)}


def upsampler():
    """Transposed convolution, nearest resize; Concat and Softmax over channels."""
    m = Model()
    x = m.input("x", [1, 6, 7, 5])
    a = m.node("ConvTranspose", x, m.weights(6, 4, 2, 2), m.weights(4), strides=[2, 2])
    scales = m.const(np.array([1, 1, 2, 2], np.float32))
    b = m.node(
        "Resize",
        x,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    joined = m.node("Concat", a, b, axis=1)
    m.output(m.node("Softmax", joined, axis=1))
    m.output(m.node("ReduceMax", joined, m.const(np.array([2, 3])), keepdims=0))
    return m, {"x": m.rng.standard_normal((1, 6, 7, 5)).astype(np.float32)}


def sequence_cnn():
    """One-dimensional convolutions on a tensor that arrives channels last."""
    m = Model()
    x = m.input("x", ["n", "t", 12])
    y = m.node("Transpose", x, perm=[0, 2, 1])
    y = m.node(
        "Relu", m.node("Conv", y, m.weights(20, 12, 5), m.weights(20), pads=[2, 2], dilations=[1])
    )
    y = m.node("Conv", y, m.weights(20, 10, 3), group=2, strides=[2], pads=[1, 1])
    m.output(m.node("Transpose", y, perm=[0, 2, 1]))
    m.output(m.node("ReduceMean", y, m.const(np.array([-1])), keepdims=1))
    return m, {"x": m.rng.standard_normal((2, 33, 12)).astype(np.float32)}


def transformer():
    """One block: embedding, attention with shapes computed at run time, LayerNorm, GELU by Erf."""
    m = Model()
    ids = m.input("ids", ["b", "t"], INT64)
    x = m.node("Gather", m.weights(50, 32, scale=1.0), ids)
    shape = m.node("Shape", x)
    b, t = (m.node("Gather", shape, m.const(np.array([i])), axis=0) for i in (0, 1))
    heads = m.node("Concat", b, t, m.const(np.array([4, 8])), axis=0)

    def split(perm):
        y = m.node("Add", m.node("MatMul", x, m.weights(32, 32, scale=0.2)), m.weights(32))
        return m.node("Transpose", m.node("Reshape", y, heads), perm=perm)

    q, k, v = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
    scores = m.node("Div", m.node("MatMul", q, k), m.const(np.float32(np.sqrt(8))))
    mixed = m.node("Transpose", m.node("MatMul", m.node("Softmax", scores), v), perm=[0, 2, 1, 3])
    mixed = m.node("Reshape", mixed, m.const(np.array([0, 0, 32])))
    y = m.node("Add", x, m.node("MatMul", mixed, m.weights(32, 32)))
    y = m.node("LayerNormalization", y, m.weights(32), m.weights(32), epsilon=1e-5)
    h = m.node("Add", m.node("MatMul", y, m.weights(32, 64)), m.weights(64))
    erf = m.node(
        "Add",
        m.node("Erf", m.node("Div", h, m.const(np.float32(np.sqrt(2))))),
        m.const(np.float32(1)),
    )
    gelu = m.node("Mul", m.node("Mul", h, erf), m.const(np.float32(0.5)))
    m.output(m.node("Add", y, m.node("MatMul", gelu, m.weights(64, 32))))
    return m, {"ids": m.rng.integers(0, 50, (2, 7))}


MODELS = [residual_cnn, squeeze_and_excite, upsampler, sequence_cnn, transformer]


@pytest.mark.parametrize("make", MODELS)
def test_equals_onnxruntime_without_fallbacks(make):
    m, feeds = make()
    session = InferenceSession(m.proto(), num_threads=2)
    assert session.fallbacks == []
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_shapes_may_change_from_run_to_run():
    m, _ = transformer()
    session = InferenceSession(m.proto())
    for shape in [(1, 3), (2, 5), (1, 3), (4, 1)]:
        feeds = {"ids": m.rng.integers(0, 50, shape)}
        assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_half_precision_models_take_and_give_float16():
    m = Model()
    x = m.input("x", [2, 8], 10)
    w = m.const(m.rng.standard_normal((8, 4)).astype(np.float16))
    m.output(m.node("Relu", m.node("MatMul", x, w)), 10)
    feeds = {"x": m.rng.standard_normal((2, 8)).astype(np.float16)}
    session = InferenceSession(m.proto())
    assert session.get_inputs()[0].type == "tensor(float16)"
    assert_close(session.run(None, feeds), reference(m.proto(), feeds), 1e-2)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_kernel_that_the_model_computes_is_computed_once(in_file):
    """A bank of waves, larger than what a file may grow by, from a few numbers."""
    m = Model()
    x = m.input("x", [1, 1, 2000])
    steps = m.const(np.arange(512, dtype=np.float32).reshape(1, 1, -1))
    waves = m.const(np.linspace(0.01, 3, 64, dtype=np.float32).reshape(-1, 1, 1))
    bank = m.node("Mul", m.node("Cos", m.node("Mul", steps, waves)), m.const(np.float32(0.1)))
    m.output(m.node("Conv", x, bank, strides=[160]))
    m.output(m.node("ReduceMax", bank, m.const(np.int64([2])), keepdims=0))
    feeds = {"x": m.rng.standard_normal((1, 1, 2000)).astype(np.float32)}
    model = m.proto()
    if in_file:
        graph = simplify(read(model))
        assert "Cos" in {node.op for node in graph.nodes}
        graph.metadata[SIMPLIFIED] = "1"
        model = export(graph)
    session = InferenceSession(model)
    assert_close(session.run(None, feeds), reference(model, feeds))
    ran = {row.op for row in session.profile(feeds, repeats=1)}
    assert "conv" in ran
    assert not ran & {"Conv", "Cos", "Mul", "ReduceMax"}
