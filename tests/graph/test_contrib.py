"""What ONNX Runtime's optimizer writes reads like the model before; onnxruntime says what is right."""

import numpy as np
import pytest
from onnx import TensorProto

from pycompress.graph import export, simplify, to_formats
from pycompress.readers import read
from pycompress.runtime import InferenceSession
from pycompress.runtime.notices import FallbackWarning
from tests.graph.models import Model, assert_same, ops, run

MS = "com.microsoft"
INT32 = TensorProto.INT32


def model():
    return Model(domains=[MS])


def rewritten(m, *, contrib_left=()):
    """Return the rewritten graph; what it writes, and our own session, answer as the model does."""
    wanted = run(m.proto(), m.feeds)
    graph = to_formats(simplify(read(m.proto()))).graph
    assert {n.op for n in graph.nodes if n.domain == MS} == set(contrib_left)
    if not contrib_left:
        assert_same(run(export(graph), m.feeds), wanted, rtol=1e-4, atol=2e-5)
        session = InferenceSession(m.proto())
        assert session.fallbacks == []
        assert_same(session.run(None, m.feeds), wanted, rtol=1e-4, atol=2e-5)
    return graph


@pytest.mark.parametrize(
    ("op", "bias"),
    [("BiasGelu", True), ("FastGelu", False), ("FastGelu", True), ("QuickGelu", False)],
)
def test_gelu(op, bias):
    m = model()
    x = m.node("MatMul", m.input("x", ["n", 3, 5]), m.weights(5, 4))
    m.output(m.node(op, x, *([m.weights(4)] if bias else []), domain=MS))
    assert "linear" in ops(rewritten(m))[0]


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_skip_layer_normalization(outputs, bias):
    m = model()
    x, skip = m.input("x", ["n", 3, 8]), m.input("skip", ["n", 3, 8])
    parts = [m.weights(8), m.weights(8), *([m.weights(8)] if bias else [])]
    made = m.node("SkipLayerNormalization", x, skip, *parts, outputs=outputs, domain=MS)
    m.output(*([made] if outputs == 1 else [made[0], made[3]]))
    assert "LayerNormalization" in ops(rewritten(m))


def test_skip_layer_normalization_whose_mean_is_read_stays():
    m = model()
    x, skip = m.input("x", ["n", 3, 8]), m.input("skip", ["n", 3, 8])
    y, mean = m.node("SkipLayerNormalization", x, skip, m.weights(8), outputs=2, domain=MS)
    m.output(y, mean)
    graph = to_formats(simplify(read(m.proto()))).graph
    assert ops(graph) == ["SkipLayerNormalization"]


@pytest.mark.parametrize("attrs", [{}, {"alpha": 0.5}, {"transA": 1}, {"transB": 1, "alpha": 2.0}])
def test_fused_matmul(attrs):
    m = model()
    a = m.input("a", ["n", 5, 4] if attrs.get("transA") else ["n", 4, 5])
    b = m.input("b", ["n", 3, 5] if attrs.get("transB") else ["n", 5, 3])
    m.output(m.node("FusedMatMul", a, b, domain=MS, **attrs))
    assert "MatMul" in ops(rewritten(m))


@pytest.mark.parametrize(
    ("function", "params"),
    [
        ("Relu", []), ("Sigmoid", []), ("Tanh", []), ("LeakyRelu", [0.1]),
        ("Clip", [-0.5, 0.5]), ("HardSigmoid", [0.2, 0.5]),
    ],
)  # fmt: skip
def test_fused_conv(function, params):
    m = model()
    x, w, b = m.input("x", ["n", 3, 6, 6]), m.weights(4, 3, 3, 3), m.weights(4)
    attrs = {"activation": function, "pads": [1] * 4, "kernel_shape": [3, 3]}
    if params:
        attrs["activation_params"] = params
    m.output(m.node("FusedConv", x, w, b, domain=MS, **attrs))
    (node,) = rewritten(m).nodes
    assert node.is_preset("conv")
    assert node.attrs["activation"]


def test_fused_conv_with_a_residual():
    m = model()
    x, z = m.input("x", ["n", 3, 6, 6]), m.input("z", ["n", 4, 6, 6])
    w, b = m.weights(4, 3, 1, 1), m.weights(4)
    m.output(m.node("FusedConv", x, w, b, z, domain=MS, activation="Relu", kernel_shape=[1, 1]))
    (node,) = rewritten(m).nodes
    assert node.is_preset("conv")
    assert node.input(3) is not None


def embedded(m, *, mask, position_ids=False):
    """EmbedLayerNormalization; returns its output and the lengths."""
    r = m.rng
    ids = m.input("ids", ["n", 7], r.integers(0, 9, (2, 7), dtype=np.int32), INT32)
    segments = m.input("segments", ["n", 7], r.integers(0, 2, (2, 7), dtype=np.int32), INT32)
    tables = [m.weights(9, 8), m.weights(12, 8), m.weights(2, 8), m.weights(8), m.weights(8)]
    more = []
    if mask or position_ids:
        ones = (np.arange(7) < np.array([[7], [4]])).astype(np.int32)
        more.append(m.input("mask", ["n", 7], ones, INT32) if mask else "")
    if position_ids:
        more.append(m.input("places", ["n", 7], r.integers(0, 12, (2, 7), dtype=np.int32), INT32))
    return m.node(
        "EmbedLayerNormalization", ids, segments, *tables, *more, outputs=2, domain=MS, epsilon=1e-6
    )


@pytest.mark.parametrize("position_ids", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_embed_layer_normalization(mask, position_ids):
    m = model()
    y, lengths = embedded(m, mask=mask, position_ids=position_ids)
    m.output(y)
    m.output(lengths, kind=INT32)
    assert ops(rewritten(m)).count("embedding") == (3 if position_ids else 2)


def test_attention_behind_an_embedding():
    m = model()
    x, lengths = embedded(m, mask=True)
    y = m.node("Attention", x, m.weights(8, 24), m.weights(24), lengths, domain=MS, num_heads=2)
    y = m.node("MatMul", y, m.weights(8, 8))
    y = m.node("SkipLayerNormalization", y, x, m.weights(8), m.weights(8), domain=MS)
    y = m.node("Attention", y, m.weights(8, 24), m.weights(24), lengths, domain=MS, num_heads=4)
    m.output(y)
    graph = rewritten(m)
    assert ops(graph).count("linear") == 3
    assert "attention" in {r.op for r in InferenceSession(m.proto()).profile(m.feeds, 1)}


@pytest.mark.parametrize("attrs", [{}, {"scale": 0.3}, {"mask_filter_value": -5.0}])
@pytest.mark.parametrize("added", [False, True])
def test_attention(attrs, added):
    m = model()
    x = m.input("x", ["n", 5, 12])
    mask = (m.rng.random((2, 5)) < 0.6).astype(np.int32)
    mask[:, 0] = 1
    more = [m.input("mask", ["n", 5], mask, INT32)]
    if added:
        more += ["", m.const(m.random(2, 3, 5, 5))]
    w, b = m.weights(12, 36), m.weights(36)
    m.output(m.node("Attention", x, w, b, *more, domain=MS, num_heads=3, **attrs))
    rewritten(m)


@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention(bias):
    m = model()
    q, k, v = (m.input(name, ["n", t, 12]) for name, t in (("q", 5), ("k", 6), ("v", 6)))
    m.output(
        m.node(
            "MultiHeadAttention",
            q,
            k,
            v,
            *([m.weights(36)] if bias else []),
            domain=MS,
            num_heads=3,
        )
    )
    rewritten(m)


def test_what_looks_back_only_stays():
    m = model()
    x = m.input("x", ["n", 5, 12])
    y = m.node(
        "Attention", x, m.weights(12, 36), m.weights(36), domain=MS, num_heads=3, unidirectional=1
    )
    m.output(y)
    rewritten(m, contrib_left=["Attention"])
    with pytest.warns(FallbackWarning, match="Attention"):
        session = InferenceSession(m.proto(), fallback="onnxruntime")
    assert_same(session.run(None, m.feeds), run(m.proto(), m.feeds))
