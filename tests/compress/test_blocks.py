"""Layers in 4-bit blocks: what is written, that other runtimes read it, and that it is held."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress import InferenceSession
from pycompress.convert import (
    ConversionError,
    WeightCache,
    apply_plan,
    blocks,
    cosine,
    make_plan,
    verify,
)
from pycompress.kernels.int4 import quantize_int4

from .models import model, normal, peer, preset

REAL = blocks.quantize_int4


def layers():
    """A plain layer, one with everything behind it, and one too shallow for a block."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "plain"),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["g"], "whole"),
        helper.make_node("Add", ["g", "a"], ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("MatMul", ["r", "cut"], ["c"], "narrow"),
        helper.make_node("MatMul", ["c", "w3"], ["y"], "shallow"),
    ]
    weights = {
        "w1": normal(1, 100, 70),
        "w2": normal(2, 70, 70),
        "b2": normal(3, 70),
        "cut": normal(4, 70, 20),
        "w3": normal(5, 20, 64),
    }
    return model(nodes, [("x", TensorProto.FLOAT, [3, 100])], [("y", [3, 64])], weights)


def rounded(proto):
    """The model with its weights as 4 bits hold them, where they are deep enough."""
    made = onnx.ModelProto.FromString(proto.SerializeToString())
    for tensor in made.graph.initializer:
        if len(tensor.dims) == 2 and tensor.dims[0] >= 32:
            w = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(quantize_int4(w, 32).dequantize(), tensor.name)
            )
    return made


def converted():
    graph = preset(layers())
    plan, weights = make_plan(graph, "int4", calibrated=False), WeightCache()
    return graph, apply_plan(graph, plan, {}, weights), plan, weights


X = np.random.default_rng(0).standard_normal((3, 100)).astype(np.float32)


def test_layers_in_blocks_compute_what_their_weights_stand_for():
    graph, made, plan, weights = converted()
    assert [c.precision for c in plan] == ["int4", "int4", "int4", "dynamic"]
    verify(graph, made, plan, {}, weights)
    exact = plan.only({c.key for c in plan if c.precision == "int4"})
    made = apply_plan(graph, exact, {}, weights)
    (wanted,) = peer(rounded(layers()))({"x": X})
    np.testing.assert_allclose(peer(made)({"x": X})[0], wanted, rtol=1e-4, atol=1e-5)
    (found,) = InferenceSession(made).run(None, {"x": X})  # rounds x, too: each block to 8 bits
    assert cosine(found, wanted) > 0.9999
    assert [n.op for n in graph.nodes if n.op == "MatMulNBits"] == []


def test_it_is_smaller_and_a_budget_brings_int8_back(tmp_path):
    onnx.save(layers(), tmp_path / "m.onnx")
    rng = np.random.default_rng(1)
    feeds = [{"x": rng.standard_normal((3, 100)).astype(np.float32)} for _ in range(8)]
    sizes, kinds = {}, {}
    for name, keys in {
        "int4": {"mode": "int4", "max_drop": 0.5},
        "held": {"mode": "int4", "max_drop": 2e-4},
        "int8": {"mode": "dynamic"},
    }.items():
        target = tmp_path / f"{name}.onnx"
        report = pycompress.compress(tmp_path / "m.onnx", target, feeds, **keys)
        sizes[name] = target.stat().st_size
        kinds[name] = {c.precision for c in report.choices}
    assert "int4" in kinds["int4"]
    assert "int4" not in kinds["held"]
    assert sizes["int4"] < 0.85 * sizes["int8"]


def wider(w, block):
    made = REAL(w, block)
    return dataclasses.replace(made, scale=made.scale * np.float32(1.05))


def moved(w, block):
    made = REAL(w, block)
    data = made.data.copy()
    data[5, 0, 3] ^= 4
    return dataclasses.replace(made, data=data)


def other_way(w, block):
    return REAL(np.ascontiguousarray(w[::-1]), block)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [(wider, "wider than"), (moved, "channel 5 are off"), (other_way, "wider than|off by more")],
)
def test_planted_mistakes_are_named(monkeypatch, mistake, said):
    monkeypatch.setattr(blocks, "quantize_int4", mistake)
    graph, made, plan, weights = converted()
    with pytest.raises(ConversionError, match=f"node 'plain' .*({said})"):
        verify(graph, made, plan, {}, weights)
