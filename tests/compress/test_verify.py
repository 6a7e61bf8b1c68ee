"""Planted mistakes in convert/: each is caught by the differential step, named, and not shipped."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress.convert import (
    ConversionError,
    WeightCache,
    activations,
    apply,
    apply_plan,
    make_plan,
    quantize_weight,
    verify,
)
from pycompress.graph import Quantized

from .models import model, normal, peer, preset, sentences, tokens

REAL_GET, REAL_BIAS_OF = WeightCache.get, WeightCache.bias_of
REAL_BIAS, REAL_AFFINE, REAL_PAIRS = apply.quantize_bias, activations.affine, apply._insert_pairs

SHAPES = {
    "conv": (16, 3, 3, 3),
    "deconv": (16, 8, 2, 2),
    "matmul": (128, 32),
    "gru": (1, 48, 32),
    "gemm": (256, 10),
}


def everything():
    """A node of each format: convolutions, a layer on rows, a GRU, a classifier."""
    nodes = [
        helper.make_node("Conv", ["x", "wc", "bc"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ConvTranspose", ["r", "wd", "bd"], ["d"], "deconv", strides=[2, 2]),
        helper.make_node("Reshape", ["d", "rows"], ["t"]),
        helper.make_node("MatMul", ["t", "wm"], ["m"], "matmul"),
        helper.make_node("Add", ["m", "bm"], ["a"]),
        helper.make_node("Transpose", ["a"], ["s"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["s", "wg", "rg", "bg"], ["h"], "gru", hidden_size=16),
        helper.make_node("Reshape", ["h", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "wf", "bf"], ["y"], "gemm"),
    ]
    weights = {
        name: normal(seed, *shape)
        for seed, (name, shape) in enumerate(zip(["wc", "wd", "wm", "wg", "wf"], SHAPES.values()))
    }
    weights |= {
        "rg": normal(6, 1, 48, 16),
        "bg": normal(7, 1, 96),
        "bc": normal(8, 16),
        "bd": normal(9, 8),
        "bm": normal(10, 32),
        "bf": normal(11, 10),
        "rows": np.array([1, 16, 128]),
        "flat": np.array([1, 256]),
    }
    return model(nodes, [("x", TensorProto.FLOAT, [1, 3, 8, 8])], [("y", [1, 10])], weights)


def scaled(_, made):
    return dataclasses.replace(made, scale=made.scale * np.float32(1.02))


def coarse(_, made):
    """Right, but for the levels that are given away."""
    data = np.rint(made.data / np.float32(2)).astype(np.int8)
    return dataclasses.replace(made, data=data, scale=made.scale * 2)


def shifted(_, made):
    return dataclasses.replace(made, zero_point=made.zero_point + np.int8(1))


def other_axis(array, made):
    return quantize_weight(array, (made.axis + 1) % array.ndim)


def reversed_scales(_, made):
    return dataclasses.replace(made, scale=made.scale[::-1].copy())


def swapped(_, made):
    """One output for its neighbour: two scales and everything else as they were."""
    data = np.moveaxis(made.data.copy(), made.axis, 0)
    data[[2, 3]] = data[[3, 2]]
    return dataclasses.replace(made, data=np.ascontiguousarray(np.moveaxis(data, 0, made.axis)))


def one_weight(_, made):
    data = made.data.copy()
    place = np.unravel_index(int(np.argmin(np.abs(data.astype(int)))), data.shape)
    data[place] += np.int8(9)
    return dataclasses.replace(made, data=data)


def smallest(_, made):
    data = made.data.copy()
    data[data == -127] = -128
    return dataclasses.replace(made, data=data)


def planted(mistake, node):
    """What the cache hands out, with a mistake in the weights of one node."""

    def get(self, array, format):
        made = REAL_GET(self, array, format)
        return mistake(array, made) if array.shape == SHAPES[node] else made

    return get


@pytest.fixture
def plant(tmp_path):
    """Compress with a mistake that was planted: it is caught, and there is no file."""
    onnx.save(everything(), tmp_path / "m.onnx")
    rng = np.random.default_rng(1)
    feeds = [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(5)]

    def run(said, data=True, mode="auto"):
        target = tmp_path / "out.onnx"
        with pytest.raises(ConversionError, match=said):
            pycompress.compress(
                tmp_path / "m.onnx", target, feeds if data else None, mode=mode, best_effort=True
            )
        assert not target.exists()

    return run


MISTAKES = [
    (scaled, r"scale of channel \d+ is 1\.02 times what its weights need"),
    (coarse, r"scale of channel \d+ is 2 times what its weights need"),
    (shifted, "have a zero point"),
    (other_axis, "axis of its weights' scales"),
    (reversed_scales, "scale of channel|times its weights"),
    (swapped, r"times its weights, and channel \d+ is off"),
    (one_weight, r"times its weights, and channel \d+ is off .*\(1 of"),
    (smallest, "is -128, wanted -127 or more"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[m[0].__name__ for m in MISTAKES])
@pytest.mark.parametrize("node", SHAPES)
def test_wrong_weights_are_named(monkeypatch, node, mistake, said):
    graph = preset(everything())
    plan = make_plan(graph, "auto", calibrated=False)
    monkeypatch.setattr(WeightCache, "get", planted(mistake, node))
    weights = WeightCache()
    made = apply_plan(graph, plan, {}, weights)
    with pytest.raises(ConversionError, match=f"node '{node}' .*({said})"):
        verify(graph, made, plan, {}, weights)


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("node", SHAPES)
def test_wrong_weights_are_not_shipped(plant, monkeypatch, node, data):
    monkeypatch.setattr(WeightCache, "get", planted(swapped, node))
    plant(f"node '{node}' .* times its weights", data)


def test_scales_along_another_axis_are_not_shipped(plant, monkeypatch):
    monkeypatch.setattr(WeightCache, "get", planted(other_axis, "conv"))
    plant("node 'conv' .* 3 scales for 16 biases")


def test_a_wrong_table_is_named(tmp_path, monkeypatch):
    onnx.save(tokens(), tmp_path / "m.onnx")
    monkeypatch.setattr(
        WeightCache, "get", lambda self, array, f: swapped(array, REAL_GET(self, array, f))
    )
    with pytest.raises(ConversionError, match=r"node 'words' .* times its weights"):
        pycompress.compress(tmp_path / "m.onnx", tmp_path / "out.onnx", sentences(5))


@pytest.mark.parametrize("node", ["conv", "matmul", "gemm"])
def test_a_wrong_correction_of_a_bias_is_named(plant, monkeypatch, node):
    def twice(self, array):
        found = REAL_BIAS_OF(self, array)
        return found if array.shape != SHAPES[node] else found + 0.01

    monkeypatch.setattr(WeightCache, "bias_of", twice)
    plant(f"node '{node}' .* its bias is .* in channel .* wanted", mode="dynamic")


def wrong_bias(bias, x_scale, weight, original):
    units, weight = REAL_BIAS(bias, x_scale, weight, original)
    return Quantized(units.data + np.int32(3), units.scale, units.zero_point, 0), weight


def wrong_bias_unit(bias, x_scale, weight, original):
    return REAL_BIAS(bias, x_scale * np.float32(0.5), weight, original)


def wrong_range(bounds):
    made = REAL_AFFINE(bounds)
    return dataclasses.replace(made, scale=made.scale * np.float32(1.05))


def wrong_zero(bounds):
    made = REAL_AFFINE(bounds)
    return dataclasses.replace(made, zero_point=min(made.zero_point + 3, 255))


def wrong_way_back(graph, *rest):
    REAL_PAIRS(graph, *rest)
    node = next(n for n in graph.nodes if n.op == "DequantizeLinear")
    node.inputs[1] = dataclasses.replace(node.inputs[1], const=np.float32(0.5))


@pytest.mark.parametrize(
    ("name", "mistake", "said"),
    [
        ("apply.quantize_bias", wrong_bias, r"node 'conv' .* its bias is .* wanted"),
        ("apply.quantize_bias", wrong_bias_unit, "node 'conv' .* scales of its bias are not"),
        ("chain.affine", wrong_range, "the integers of value 'x' cover"),
        ("chain.affine", wrong_zero, "the integers of value 'x' cover"),
        ("apply._insert_pairs", wrong_way_back, "value 'x' is read back with another scale"),
    ],
)
def test_wrong_biases_and_ranges_are_named(plant, monkeypatch, name, mistake, said):
    monkeypatch.setattr(f"pycompress.convert.{name}", mistake)
    plant(said)


@pytest.mark.parametrize(("mode", "missing"), [("dynamic", "dynamic"), ("weights", "")])
def test_ranges_at_run_time_are_those_of_the_plan(mode, missing):
    graph = preset(everything())
    plan, weights = make_plan(graph, mode, calibrated=False), WeightCache()
    made = apply_plan(graph, plan, {}, weights)
    verify(graph, made, plan, {}, weights)
    node = next(n for n in made.nodes if n.op == "linear")
    node.attrs["dynamic"] = not missing
    with pytest.raises(ConversionError, match=f"node 'matmul' .* are not found as '{mode}'"):
        verify(graph, made, plan, {}, weights)


@pytest.mark.parametrize("with_data", [False, True])
def test_a_model_that_is_quantized_already_stays_as_it_was(with_data, tmp_path):
    scales = {
        "scale": np.float32(0.03),
        "zero": np.uint8(7),
        "scales": np.full(8, 0.01, np.float32),
    }
    weights = np.arange(-64, 64, dtype=np.int8).reshape(16, 8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scales"], ["dw"], axis=1),
        helper.make_node("MatMul", ["d", "dw"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "scale", "zero"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
    ]
    inputs, outputs = [("x", TensorProto.FLOAT, ["n", 16])], [("y", ["n", 8])]
    proto = model(nodes, inputs, outputs, scales | {"w": weights})
    onnx.save(proto, tmp_path / "in.onnx")
    feeds = [{"x": normal(seed, 5, 16)} for seed in range(4)]
    out = tmp_path / "out.onnx"
    pycompress.compress(tmp_path / "in.onnx", out, calibration=feeds if with_data else None)
    for feed in feeds:
        (wanted,) = peer(proto)(feed)
        np.testing.assert_array_equal(peer(onnx.load(out))(feed)[0], wanted)
        (found,) = pycompress.InferenceSession(out).run(None, feed)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
