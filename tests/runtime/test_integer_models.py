"""Quantized models of each kind: QDQ, QOperator, dynamic; equal to onnxruntime to one quantum."""

import numpy as np
import onnx
import pytest

from pycompress.runtime import InferenceSession
from tests.runtime.models import INT8, UINT8, Model, assert_close, assert_within_one, reference

TYPES = [np.uint8, np.int8]
ELEMENTS = {np.uint8: UINT8, np.int8: INT8}


def qdq_cnn(dtype):
    """Convolutions, a residual addition, a depthwise one, pools and a linear layer, all in QDQ."""
    m = Model()
    z = 120 if dtype is np.uint8 else -8
    low = 0 if dtype is np.uint8 else -128
    x = m.quantized(m.input("x", ["n", 3, 12, 14]), 0.02, z, dtype)

    def conv(x, x_scale, channels, depth, group=1, kernel=3):
        w, w_scale = m.integer_weights(channels, depth // group, kernel, kernel)
        bias = m.integer_bias(x_scale, w_scale)
        return m.node("Conv", x, w, bias, group=group, pads=[kernel // 2] * 4)

    stem = m.quantized(m.node("Relu", conv(x, 0.02, 16, 3)), 0.03, low, dtype)
    deep = m.quantized(m.node("Relu", conv(stem, 0.03, 16, 16, group=16)), 0.05, low, dtype)
    deep = m.quantized(conv(deep, 0.05, 16, 16, kernel=1), 0.06, z, dtype)
    joined = m.quantized(m.node("Add", deep, stem), 0.07, z, dtype)
    pooled = m.quantized(
        m.node("MaxPool", joined, kernel_shape=[2, 2], strides=[2, 2]), 0.07, z, dtype
    )
    mean = m.quantized(m.node("GlobalAveragePool", pooled), 0.05, z, dtype)
    flat = m.node("Flatten", mean)
    w, w_scale = m.integer_weights(16, 10, axis=1)
    y = m.node("Gemm", flat, w, m.integer_bias(0.05, w_scale))
    y = m.quantize(y, 0.15, z, dtype)  # one quantum of `mean` moves it by one at most
    m.output(y, ELEMENTS[dtype])
    m.output(m.dequantize(y, 0.15, z, dtype))
    return m, {"x": m.rng.standard_normal((2, 3, 12, 14)).astype(np.float32)}


@pytest.mark.parametrize("dtype", TYPES)
def test_qdq_cnn(dtype):
    m, feeds = qdq_cnn(dtype)
    session = InferenceSession(m.proto(), num_threads=2)
    assert session.fallbacks == []
    found, wanted = session.run(None, feeds), reference(m.proto(), feeds)
    # A near tie of the mean may fall the other way, and then reaches every output of its row.
    assert_within_one(found[0], wanted[0], rate=0.25)
    ops = {row.op for row in session.profile(feeds, repeats=1)}
    assert {"conv", "linear", "q_add", "q_global_average_pool", "MaxPool"} <= ops


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("function", ["Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Exp"])
def test_a_function_between_quantized_tensors_is_a_table(dtype, function):
    m = Model()
    z = 100 if dtype is np.uint8 else -20
    q = m.quantize(
        m.node(function, m.dequantize(m.input("x", [256], ELEMENTS[dtype]), 0.04, z, dtype)),
        0.01,
        z,
        dtype,
    )
    m.output(q, ELEMENTS[dtype])
    feeds = {"x": np.arange(256, dtype=np.uint8).view(dtype)}
    session = InferenceSession(m.proto())
    (found,), (wanted,) = session.run(None, feeds), reference(m.proto(), feeds)
    assert_within_one(found, wanted)
    assert {row.op for row in session.profile(feeds, repeats=1)} == {"q_table"}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("between", ["Sigmoid", "Slice", "GlobalAveragePool", "MaxPool", "Add"])
def test_from_one_type_of_bytes_to_the_other(dtype, between):
    """uint8 -> int8 (or back) across an operator, and a layer that reads it."""
    m = Model()
    other = np.int8 if dtype is np.uint8 else np.uint8
    z, z_other = (120, -8) if dtype is np.uint8 else (-8, 120)
    x = m.quantized(m.input("x", ["n", 3, 6, 5]), 0.02, z, dtype)
    if between == "Slice":
        y = m.node("Slice", x, *(m.const(np.array([i])) for i in (1, 3, 1)))
    elif between == "Add":
        y = m.node("Add", x, m.quantized(x, 0.03, z_other, other))
    else:
        y = m.node(between, x, **({"kernel_shape": [2, 2]} if between == "MaxPool" else {}))
    y = m.quantize(y, 0.02, z_other, other)
    w, _ = m.integer_weights(4, 2 if between == "Slice" else 3, 1, 1)
    m.output(y, ELEMENTS[other])
    m.output(m.node("Conv", m.dequantize(y, 0.02, z_other, other), w))
    feeds = {"x": m.rng.standard_normal((2, 3, 6, 5)).astype(np.float32)}
    found, wanted = answers(m.proto(), feeds), reference(m.proto(), feeds)
    assert_within_one(found[0], wanted[0], rate=0.1)
    same = np.all(found[0] == wanted[0], axis=1, keepdims=True)  # at these pixels
    np.testing.assert_allclose(found[1] * same, wanted[1] * same, rtol=1e-4, atol=1e-5)
    assert same.mean() > 0.5


def answers(proto, feeds):
    return InferenceSession(proto).run(None, feeds)


def test_one_table_of_bytes_for_two_types():
    m = Model()
    x = m.node("Mul", m.quantized(m.input("x", [30]), 0.02, 128), m.const(np.float32(0)))
    m.output(m.dequantize(m.quantize(x, 0.02, 5, np.uint8), 0.02, 3, np.uint8))
    m.output(m.quantize(x, 0.02, 5, np.uint8), UINT8)
    m.output(m.quantize(x, 0.02, 5, np.int8), INT8)
    feeds = {"x": m.rng.standard_normal(30).astype(np.float32)}
    for found, wanted in zip(answers(m.proto(), feeds), reference(m.proto(), feeds), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_q_operator_model():
    m = Model()
    x = m.input("x", [1, 3, 9, 9])
    q = m.quantize(x, 0.02, 128)
    w = m.const(m.rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8))
    w_scale = m.const(m.rng.uniform(0.002, 0.01, 8).astype(np.float32))
    s, z = m.const(np.float32(0.02)), m.const(np.uint8(128))
    y_s, y_z = m.const(np.float32(0.05)), m.const(np.uint8(3))
    bias = m.const(m.rng.integers(-900, 900, 8).astype(np.int32))
    w_zero = m.const(np.zeros(8, np.int8))
    y = m.node("QLinearConv", q, s, z, w, w_scale, w_zero, y_s, y_z, bias, pads=[1] * 4)
    flat = m.node("Reshape", y, m.const(np.array([8, 81])))
    b = m.const(m.rng.integers(-127, 128, (81, 6)).astype(np.int8))
    b_s, b_z = m.const(np.float32(0.01)), m.const(np.int8(0))
    out_s, out_z = m.const(np.float32(1.5)), m.const(np.uint8(100))
    m.output(m.node("QLinearMatMul", flat, y_s, y_z, b, b_s, b_z, out_s, out_z), UINT8)
    feeds = {"x": m.rng.standard_normal((1, 3, 9, 9)).astype(np.float32)}
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_within_one(session.run(None, feeds)[0], reference(m.proto(), feeds)[0], rate=0.05)


def test_dynamic_linear():
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add, as a quantizer writes it."""
    m = Model()
    x = m.input("x", ["n", 24])
    q, scale, zero = m.node("DynamicQuantizeLinear", x, outputs=3)
    w = m.const(m.rng.integers(-127, 128, (24, 16)).astype(np.int8))
    w_scale = m.const(m.rng.uniform(0.002, 0.01, 16).astype(np.float32))
    w_zero = m.const(np.zeros(16, np.int8))
    y = m.node("Cast", m.node("MatMulInteger", q, w, zero, w_zero), to=onnx.TensorProto.FLOAT)
    y = m.node("Mul", y, m.node("Mul", scale, w_scale))
    m.output(m.node("Relu", m.node("Add", y, m.weights(16))))
    feeds = {"x": m.rng.standard_normal((5, 24)).astype(np.float32)}
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_close(session.run(None, feeds), reference(m.proto(), feeds), 1e-4)


def test_integers_that_are_also_read_as_floats_keep_both_forms():
    m = Model()
    x = m.quantized(m.input("x", [1, 4, 6, 6]), 0.05, 128)
    w, w_scale = m.integer_weights(4, 4, 1, 1)
    y = m.node("Conv", x, w, m.integer_bias(0.05, w_scale))
    m.output(m.quantized(y, 0.04, 128))
    m.output(m.node("Softmax", y, axis=1))
    m.output(m.node("Exp", x))
    feeds = {"x": m.rng.standard_normal((1, 4, 6, 6)).astype(np.float32)}
    session = InferenceSession(m.proto())
    found, wanted = session.run(None, feeds), reference(m.proto(), feeds)
    assert np.abs(found[0] - wanted[0]).max() <= 0.0401
    assert_close(found[1:], wanted[1:])


def test_concat_and_nearest_resize_stay_integers():
    m = Model()
    x, y = (m.input(name, [1, 2, 4, 4], UINT8) for name in "xy")
    x, y = m.dequantize(x, 0.05, 128), m.dequantize(y, 0.08, 100)
    joined = m.node("Concat", x, y, axis=1)
    scales = m.const(np.array([1, 1, 2, 2], np.float32))
    big = m.node(
        "Resize",
        m.quantized(joined, 0.08, 110),
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    m.output(m.quantize(big, 0.08, 110), UINT8)
    feeds = {k: m.rng.integers(0, 256, (1, 2, 4, 4)).astype(np.uint8) for k in "xy"}
    session = InferenceSession(m.proto())
    np.testing.assert_array_equal(session.run(None, feeds)[0], reference(m.proto(), feeds)[0])
    ops = {row.op for row in session.profile(feeds, repeats=1)}
    assert not ops & {"DequantizeLinear", "QuantizeLinear"}
