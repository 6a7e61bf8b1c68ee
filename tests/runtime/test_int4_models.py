"""Models with 4-bit weights: MatMulNBits as onnxruntime's tools write it."""

import numpy as np
import pytest

import pycompress as pc
from pycompress.runtime import InferenceSession, PlanWarning
from tests import native, oracle_int4 as oracle
from tests.runtime.models import Model, reference

MICROSOFT = "com.microsoft"


def packed_pairs(zero_point):
    """Zero points [N, blocks], two in a byte along each row."""
    n, blocks = zero_point.shape
    wide = np.zeros((n, blocks + blocks % 2), np.uint8)
    wide[:, :blocks] = zero_point
    return wide[:, ::2] | wide[:, 1::2] << 4


def operands(rng, k, n, block, symmetric, bias):
    w = pc.quantize_int4(rng.standard_normal((k, n)).astype(np.float32), block, symmetric=symmetric)
    inputs = [w.data, w.scale.reshape(-1)]
    inputs.append(None if symmetric else packed_pairs(w.zero_point).reshape(-1))
    inputs += [None, rng.standard_normal(n).astype(np.float32)] if bias else []
    while inputs[-1] is None:
        inputs.pop()
    return w, inputs, {"K": k, "N": n, "bits": 4, "block_size": block, "accuracy_level": 4}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("k", "block"), [(32, 32), (200, 64), (300, 128), (96, 32)])
@pytest.mark.usefixtures("isa")
def test_operator_is_the_product(k, block, symmetric, bias):
    rng = np.random.default_rng(1)
    w, inputs, attrs = operands(rng, k, 45, block, symmetric, bias)
    x = rng.standard_normal((2, 3, k)).astype(np.float32)
    constants = range(1, 1 + len(inputs))
    (y,) = native.run("MatMulNBits", [x, *inputs], attrs, constants=constants, threads=2)
    added = inputs[4] if bias else None
    wanted = oracle.gemm(x.reshape(6, k), w.data, w.scale, w.zero_point, added)
    np.testing.assert_array_equal(y.reshape(6, 45), wanted)


def layers(symmetric=True, block=32):
    """Two layers of 4 bits with an activation between them, and what they answer by definition."""
    m = Model()
    x = m.input("x", ["n", 96])
    weights = []
    for n in (70, 33):
        k = 96 if n == 70 else 70
        w, inputs, attrs = operands(m.rng, k, n, block, symmetric, bias=False)
        weights.append(w)
        names = [m.const(array) for array in inputs]
        x = m.node("MatMulNBits", x, *names, domain=MICROSOFT, **attrs)
        x = m.node("Relu", x)
    m.output(x)
    feeds = {"x": m.rng.standard_normal((5, 96)).astype(np.float32)}
    y = feeds["x"]
    for w in weights:
        y = np.maximum(oracle.gemm(y, w.data, w.scale, w.zero_point, None), 0)
    return m.proto(domains=[MICROSOFT]), feeds, y


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.usefixtures("isa")
def test_a_session_answers_as_onnxruntime_does(symmetric):
    proto, feeds, wanted = layers(symmetric)
    session = InferenceSession(proto)
    assert session.fallbacks == []
    (found,) = session.run(None, feeds)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    if pc.available_isas()[0] != "neon":  # onnxruntime computes in float without dot products
        (theirs,) = reference(proto, feeds)
        np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_plan_gives_the_same_bytes_on_every_instruction_set(isa, symmetric, tmp_path):
    proto, feeds, _ = layers(symmetric)
    session = InferenceSession(proto)
    wanted = session.run(None, feeds)[0]
    session.save(tmp_path / "m.plan")
    np.testing.assert_array_equal(InferenceSession(tmp_path / "m.plan").run(None, feeds)[0], wanted)
    for other in pc.available_isas():
        if other == isa:
            continue
        pc.use_isa(other)
        with pytest.warns(PlanWarning, match=f"made for {isa}"):
            moved = InferenceSession(tmp_path / "m.plan")
        np.testing.assert_array_equal(moved.run(None, feeds)[0], wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 8}, "bits is 8, there are kernels for 4"),
        ({"block_size": 16}, "block_size is 16, there are kernels for 32, 64 and 128"),
        ({"N": 44}, r"input 1 \(B\) has shape \[45, 3, 16\] .*, wanted 2112 of uint8"),
        ({"K": 64}, r"input 1 \(B\)"),
    ],
)
def test_what_has_no_kernel_is_said(change, message):
    rng = np.random.default_rng(2)
    _, inputs, attrs = operands(rng, 96, 45, 32, symmetric=True, bias=False)
    x = np.ones((1, 96), np.float32)
    with pytest.raises(ValueError, match=message):
        native.run("MatMulNBits", [x, *inputs], attrs | change, constants=(1, 2))


def test_an_order_of_k_has_no_kernel():
    rng = np.random.default_rng(3)
    _, inputs, attrs = operands(rng, 96, 45, 32, symmetric=True, bias=False)
    x, order = np.ones((1, 96), np.float32), np.zeros(96, np.int32)
    with pytest.raises(ValueError, match=r"input 4 \(g_idx\), an order of K, has no kernel"):
        native.run("MatMulNBits", [x, *inputs, None, order], attrs, constants=(1, 2, 4))
