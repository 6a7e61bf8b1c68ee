"""Tensors of few bits: held wide, rounded where they are made, and given back as they are called."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pycompress import InferenceSession

ml_dtypes = pytest.importorskip("ml_dtypes")

FLOATS = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
CODES = {
    "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e4m3fnuz": TensorProto.FLOAT8E4M3FNUZ,
    "float8_e5m2": TensorProto.FLOAT8E5M2,
    "float8_e5m2fnuz": TensorProto.FLOAT8E5M2FNUZ,
    "bfloat16": TensorProto.BFLOAT16,
    "int4": TensorProto.INT4,
    "uint4": TensorProto.UINT4,
}


def session(nodes, source, target):
    x = helper.make_tensor_value_info("x", source, ["n"])
    y = helper.make_tensor_value_info("y", target, ["n"])
    scale = helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])
    graph = helper.make_graph(nodes, "g", [x], [y], [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    made = InferenceSession(model)
    assert made.fallbacks == []
    return made


def numbers(name):
    """Every number of a type, the halves between neighbours, and what lies around them."""
    every = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float32)
    finite = np.unique(every[np.isfinite(every)])
    halves = (finite[1:] + finite[:-1]) / 2
    around = [np.nextafter(halves, np.float32(sign * np.inf)) for sign in (1, -1)]
    return np.concatenate([every[np.isfinite(every)], halves, *around]).astype(np.float32)


@pytest.mark.parametrize("name", FLOATS)
def test_casts_round_as_ml_dtypes_does(name):
    x = numbers(name)
    made = session([helper.make_node("Cast", ["x"], ["y"], to=CODES[name])], 1, CODES[name])
    (y,) = made.run(None, {"x": x})
    assert y.dtype == getattr(ml_dtypes, name)
    np.testing.assert_array_equal(y.view(np.uint8), x.astype(y.dtype).view(np.uint8))


@pytest.mark.parametrize("name", FLOATS)
def test_casts_saturate_if_they_are_to(name):
    x = np.float32([1e9, -1e9, np.inf, -np.inf, np.nan])
    most = float(ml_dtypes.finfo(getattr(ml_dtypes, name)).max)
    for saturate, wanted in ((1, [most, -most, most, -most, np.nan]), (0, None)):
        node = helper.make_node("Cast", ["x"], ["y"], to=CODES[name], saturate=saturate)
        (y,) = session([node], 1, CODES[name]).run(None, {"x": x})
        if wanted is None:
            assert not np.isfinite(y.astype(np.float32)).any()
        else:
            np.testing.assert_array_equal(y.astype(np.float32), np.float32(wanted))


def test_bfloat16():
    x = np.random.default_rng(0).integers(0, 2**32, 5000, np.uint32).view(np.float32)
    x = np.concatenate([x, np.float32([np.inf, -np.inf, 3.4e38, -0.0, 1e-45])])
    node = helper.make_node("Cast", ["x"], ["y"], to=CODES["bfloat16"])
    (y,) = session([node], 1, CODES["bfloat16"]).run(None, {"x": x})
    numeric = ~np.isnan(x)
    wanted = x[numeric].astype(y.dtype)
    np.testing.assert_array_equal(y[numeric].view(np.uint16), wanted.view(np.uint16))
    assert np.isnan(y[~numeric].astype(np.float32)).all()


@pytest.mark.parametrize("name", ["int4", "uint4", "float8_e4m3fn"])
def test_there_and_back(name):
    x = np.float32([-9, -4.25, -4, -0.25, 0, 0.25, 0.75, 3.5, 7.75, 99, np.nan])
    q = helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=CODES[name])
    back = helper.make_node("DequantizeLinear", ["q", "s"], ["y"])
    (y,) = session([q, back], 1, 1).run(None, {"x": x})
    if name in FLOATS:
        wanted = (x / 0.5).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * 0.5
    else:
        low, high = {"int4": (-8, 7), "uint4": (0, 15)}[name]
        wanted = np.where(np.isnan(x), low, np.clip(np.rint(x / 0.5), low, high)) * 0.5
    np.testing.assert_array_equal(y, np.float32(wanted))


def test_inputs_are_what_they_are_called(tmp_path):
    made = session([helper.make_node("DequantizeLinear", ["x", "s"], ["y"])], CODES["int4"], 1)
    x = np.array([-8, 7, 3], ml_dtypes.int4)
    np.testing.assert_array_equal(made.run(None, {"x": x})[0], np.float32([-4, 3.5, 1.5]))
    with pytest.raises(TypeError, match="found dtype int8, wanted int4"):
        made.run(None, {"x": x.astype(np.int8)})
    with pytest.raises(ValueError, match="'x' is int4, which a plan does not hold"):
        made.save(tmp_path / "m.plan")


def test_what_others_read_stays_narrow():
    """An operator that only onnx.reference has gets the narrow tensor."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=CODES["int4"]),
        helper.make_node("Identity", ["q"], ["i"]),
        helper.make_node("DequantizeLinear", ["i", "s"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", 1, ["n"])
    y = helper.make_tensor_value_info("y", 1, ["n"])
    scale = helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])
    graph = helper.make_graph(nodes, "g", [x], [y], [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    with pytest.warns(match="runs through"):
        made = InferenceSession(model, fallback="onnx.reference")
    (found,) = made.run(None, {"x": np.float32([-9, 1.2, 9])})
    np.testing.assert_array_equal(found, np.float32([-4, 1.0, 3.5]))
