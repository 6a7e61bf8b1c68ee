"""The NumPy face of convolution: `pack_conv` and `qconv`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_conv as oracle

RNG = np.random.default_rng(3)
SHAPES = [
    ((2, 9, 8, 16), (24, 16, 3, 3), {"stride": 2, "padding": 1}, 1),
    ((1, 7, 9, 40), (40, 1, 3, 3), {"padding": (1, 0, 0, 2)}, 40),
    ((1, 20, 3), (5, 3, 4), {"dilation": 2, "padding": 1}, 1),
]


def window(options, groups, rank):
    padding = options.get("padding", 0)
    pads = [padding] * (2 * rank) if isinstance(padding, int) else list(padding)
    per = {k: [options.get(k, 1)] * rank for k in ("stride", "dilation")}
    return {
        "strides": per["stride"],
        "dilations": per["dilation"],
        "pads": pads,
        "group": groups,
    }


def operands(x_shape, w_shape, dtype=np.uint8):
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max + 1, x_shape).astype(dtype)
    return x, RNG.integers(-128, 128, w_shape).astype(np.int8)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(("x_shape", "w_shape", "options", "groups"), SHAPES)
def test_all_outputs(x_shape, w_shape, options, groups, dtype):
    x, w = operands(x_shape, w_shape, dtype)
    scale = RNG.uniform(0.001, 0.01, w_shape[0]).astype(np.float32)
    bias = RNG.standard_normal(w_shape[0]).astype(np.float32)
    k = pc.pack_conv(w, scale, bias, **options, groups=groups)
    around = window(options, groups, len(x_shape) - 2)
    sums = oracle.conv_sums(x, 5, w, **around)
    np.testing.assert_array_equal(pc.qconv(x, k, x_zero_point=5), sums)
    y = pc.qconv(x, k, x_scale=0.5, x_zero_point=5, activation="relu")
    real = oracle.multiplier(np.float32(0.5), scale)
    np.testing.assert_array_equal(y, oracle.finish(sums, real, bias, lo=0))
    y_scale = np.float32(3.7)
    arguments = {"x_scale": 0.5, "x_zero_point": 5, "y_scale": float(y_scale), "y_zero_point": -9}
    y = pc.qconv(x, k, **arguments, y_dtype="int8")
    v = oracle.finish(
        sums,
        oracle.multiplier(np.float32(0.5), scale, by=y_scale),
        oracle.multiplier(bias, by=y_scale),
    )
    np.testing.assert_array_equal(y, oracle.requantize(v, -9, np.int8))
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = pc.qconv(turned, k, **arguments, y_dtype="int8", layout="NCHW")
    np.testing.assert_array_equal(found, np.moveaxis(y, -1, 1))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("channels", [32, 40])
def test_nan_in_a_depthwise_bias(channels):
    x, w = operands((1, 5, 6, channels), (channels, 1, 3, 3))
    bias = np.ones(channels, np.float32)
    bias[[1, channels - 1]] = np.nan
    k = pc.pack_conv(w, 0.01, bias, padding=1, groups=channels)
    y = pc.qconv(x, k, x_scale=0.5, activation="relu")
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(np.isnan(bias), y.shape))
    assert (y[..., 0] >= 0).all()
    q = pc.qconv(x, k, x_scale=0.5, y_scale=0.1, y_zero_point=-128, y_dtype="int8")
    assert (q[..., np.isnan(bias)] == -128).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("x_shape", "w_shape", "options", "groups"), SHAPES)
def test_writes_only_out_and_reads_only_x(x_shape, w_shape, options, groups):
    x, w = operands(x_shape, w_shape)
    k = pc.pack_conv(w, 0.01, **options, groups=groups)
    arguments = {"x_scale": 1.0, "x_zero_point": 255, "y_scale": 4.0, "y_zero_point": 128}
    wanted = pc.qconv(x, k, **arguments)
    room = np.full(x.size + 128, 77, np.uint8)
    inside = room[64:-64].reshape(x.shape)
    inside[...] = x
    guarded = np.full(wanted.size + 128, 99, np.uint8)
    out = guarded[64:-64].reshape(wanted.shape)
    assert pc.qconv(inside, k, **arguments, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    assert (guarded[:64] == 99).all()
    assert (guarded[-64:] == 99).all()


def test_one_object_in_many_threads():
    x, w = operands((1, 12, 12, 16), (32, 16, 3, 3))
    k = pc.pack_conv(w, padding=1)
    inputs = [x, x[:, :9], np.ascontiguousarray(x[:, ::-1]), x[:, :5]]
    around = {"pads": [1, 1, 1, 1]}
    wanted = [oracle.conv_sums(i, 0, w, **around) for i in inputs]
    with ThreadPoolExecutor(4) as pool:
        for y, expected in zip(
            pool.map(lambda i: pc.qconv(inputs[i % 4], k), range(80)), wanted * 20, strict=True
        ):
            np.testing.assert_array_equal(y, expected)


def test_every_call_has_its_own_scales():
    x, w = operands((1, 4, 5, 8), (12, 8, 1, 1))
    one = {"x_scale": 0.5, "x_zero_point": 3, "y_scale": 9.0, "y_zero_point": 7}
    changes = [
        {},
        {"x_scale": 0.25},
        {"x_zero_point": 4},
        {"y_scale": 8.0},
        {"y_zero_point": 6},
        {"y_dtype": "int8"},
        {"y_scale": None},
        {"activation": "relu"},
        {"activation": ("clip", 0.0, 90.0)},
        {"activation": ("clip", 0.0, 50.0)},
        {"x_scale": None, "y_scale": None},
        {"x": x.view(np.int8)},
    ]
    calls = [{"x": x, **one, **change} for change in changes]
    wanted = [pc.qconv(**call, k=pc.pack_conv(w, 0.02)) for call in calls]
    assert len({y.tobytes() for y in wanted}) == len(calls)
    k = pc.pack_conv(w, 0.02)
    for i in (*range(len(calls)), *range(len(calls))[::-1]):
        with pytest.raises(ValueError, match="x_scale must be positive"):
            pc.qconv(**{**calls[i], "x_scale": -1.0}, k=k)
        np.testing.assert_array_equal(pc.qconv(**calls[i], k=k), wanted[i])


def test_weights_know_themselves():
    k = pc.pack_conv(np.ones((8, 4, 3, 3), np.int8), 0.1, groups=2)
    assert (k.shape, k.dtype, k.groups, k.isa) == ((8, 4, 3, 3), "int8", 2, pc.isa())
    assert k.nbytes >= 8 * 4 * 9
    assert "shape=(8, 4, 3, 3)" in repr(k)


W = np.ones((4, 3, 3, 3), np.int8)
X = np.ones((1, 5, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"w": W.astype(np.float32)}, TypeError, "w has dtype float32, wanted int8 or uint8"),
        ({"w": W[0, 0]}, ValueError, "w has shape"),
        ({"w": W[::2]}, ValueError, "not C-contiguous"),
        ({"w": W, "scale": [1, 2]}, ValueError, r"scale has shape \(2,\)"),
        ({"w": W, "scale": 0.0}, ValueError, "scale must be positive"),
        ({"w": W, "stride": (1, 2, 3)}, ValueError, "stride must be one integer or 2"),
        ({"w": W, "stride": 0}, ValueError, "strides must be at least 1, found 0"),
        ({"w": W, "padding": (1, 2, 3)}, ValueError, "padding must be one integer, 2"),
        ({"w": W, "padding": -1}, ValueError, "pads must be at least 0, found -1"),
        ({"w": W, "groups": 3}, ValueError, "multiple of the groups"),
        ({"w": W, "zero_point": 200}, ValueError, "zero_point is 200"),
    ],
)
def test_refusals_of_pack_conv(arguments, error, message):
    with pytest.raises(error, match=message):
        pc.pack_conv(**arguments)


@pytest.mark.parametrize(
    ("x", "arguments", "error", "message"),
    [
        (X.astype(np.float32), {}, TypeError, "x has dtype float32, wanted uint8 or int8"),
        (X[..., :2].copy(), {}, ValueError, r"x has shape \(1, 5, 5, 2\), wanted .*3\]"),
        (X[:, ::2], {}, ValueError, "x of shape .* is not C-contiguous"),
        (X[:, :2].copy(), {}, ValueError, "smaller than the window"),
        (X, {"k": None}, TypeError, "k must be a PackedConvolution, found NoneType"),
        (X, {"x_scale": -1.0}, ValueError, "x_scale must be positive"),
        (X, {"x_scale": "1"}, TypeError, "x_scale must be a number, found"),
        (X, {"x_zero_point": -1}, ValueError, "x_zero_point is -1, outside of uint8"),
        (X, {"y_scale": 1.0}, ValueError, "need x_scale"),
        (X, {"x_scale": 1.0, "y_scale": 1.0, "y_dtype": "int4"}, ValueError, "y_dtype must be"),
        (X, {"x_scale": 1.0, "y_scale": 1.0, "y_zero_point": 256}, ValueError, "y_zero_point"),
        (X, {"layout": "CHWN"}, ValueError, "layout must be"),
        (X, {"out": np.empty((1, 3, 3, 5), np.int32)}, ValueError, "out has shape"),
        (X, {"out": np.empty((1, 3, 3, 4), np.int8)}, TypeError, "out has dtype int8"),
        (X, {"out": np.empty((1, 3, 3, 4), ">i4")}, TypeError, "out has dtype >i4"),
    ],
)
def test_refusals_of_qconv(x, arguments, error, message):
    arguments = {"k": pc.pack_conv(W, 0.5), **arguments}
    with pytest.raises(error, match=message):
        pc.qconv(x, **arguments)
