"""The operators `conv` and ConvInteger: exact in integers on every set, close in float."""

from __future__ import annotations

import numpy as np
import pytest

from tests import oracle_conv as oracle
from tests.native import run

RNG = np.random.default_rng(5)


def case(x, w, **window):
    return x, w, {k: list(v) if isinstance(v, tuple) else v for k, v in window.items()}


# x [N, spatial..., C], w [O, C / group, k...]; every path, tile edges and odd channel counts
CASES = [
    case((2, 9, 8, 3), (16, 3, 3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
    case((1, 8, 9, 1), (5, 1, 5, 5), pads=(2, 2, 2, 2)),
    case((1, 7, 6, 4), (8, 4, 3, 2), pads=(0, 1, 2, 0)),
    case((2, 6, 5, 16), (17, 16, 3, 3), pads=(1, 1, 1, 1)),
    case((1, 7, 7, 17), (33, 17, 3, 3), strides=(1, 2), dilations=(2, 1)),
    case((1, 9, 9, 64), (64, 64, 3, 3), strides=(3, 3), pads=(1, 0, 0, 1)),
    case((2, 5, 5, 64), (70, 64, 1, 1)),
    case((1, 6, 6, 24), (16, 24, 1, 1), strides=(2, 2)),
    case((1, 5, 4, 7), (9, 7, 1, 1)),
    case((1, 6, 6, 12), (9, 4, 3, 3), pads=(1, 1, 1, 1), group=3),
    case((1, 4, 4, 12), (8, 6, 1, 1), group=2),
    case((2, 11, 8), (12, 8, 3), strides=(2,), pads=(2, 1), dilations=(2,)),
    case((1, 20, 5), (6, 5, 4)),
    case((1, 4, 5, 6, 8), (10, 8, 2, 3, 3), pads=(1, 1, 0, 0, 1, 2), strides=(1, 2, 1)),
    # depthwise: whole and partial blocks of channels, shared and separate columns
    case((1, 8, 9, 32), (32, 1, 3, 3), pads=(1, 1, 1, 1), group=32),
    case((2, 9, 8, 40), (40, 1, 3, 3), strides=(2, 2), pads=(0, 1, 1, 0), group=40),
    case((1, 9, 9, 70), (70, 1, 5, 5), pads=(2, 2, 2, 2), group=70),
    case((1, 7, 7, 19), (19, 1, 3, 3), strides=(3, 3), group=19),
    case((1, 9, 9, 33), (33, 1, 3, 3), dilations=(2, 3), pads=(2, 3, 2, 3), group=33),
    case((1, 12, 12, 16), (16, 1, 7, 7), strides=(1, 2), pads=(3, 3, 3, 3), group=16),
    case((1, 30, 20), (20, 1, 5), pads=(2, 2), group=20),
    case((1, 4, 5, 6, 17), (17, 1, 3, 3, 3), pads=(1, 1, 1, 1, 1, 1), group=17),
    case((1, 40, 40, 4), (4, 1, 17, 17), pads=(8, 8, 8, 8), group=4),
    case((1, 6, 6, 8), (16, 1, 3, 3), pads=(1, 1, 1, 1), group=8),
]
IDS = [f"{x}x{w}" for x, w, _ in CASES]
TYPES = [np.uint8, np.int8]


def integers(shape, dtype):
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max + 1, shape).astype(dtype)
    values.flat[:2] = info.min  # the extremes meet
    values.flat[-2:] = info.max
    return values


def ends(dtype):
    info = np.iinfo(dtype)
    return info.min, info.max


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("w_type", TYPES)
@pytest.mark.parametrize("x_type", TYPES)
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES, ids=IDS)
def test_sums_are_exact(x_shape, w_shape, window, x_type, w_type):
    x, w = integers(x_shape, x_type), integers(w_shape, w_type)
    for x_zero in ends(x_type):
        for w_zero in (0 if w_type == np.int8 else 128, ends(w_type)[1]):
            inputs = [x, w, np.array(x_zero, x_type), np.array(w_zero, w_type)]
            (y,) = run("ConvInteger", inputs, window, constants=(1, 3))
            wanted = oracle.conv_sums(x, x_zero, w, w_zero, **window)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("activation", ["", "relu", "clip"])
@pytest.mark.parametrize("y_type", TYPES)
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES, ids=IDS)
def test_requantized_output_is_exact(x_shape, w_shape, window, y_type, activation, threads):
    x_type = np.uint8 if threads == 1 else np.int8
    x, w = integers(x_shape, x_type), integers(w_shape, np.int8)
    filters = w_shape[0]
    w_scale = RNG.uniform(0.001, 0.01, filters).astype(np.float32)
    x_scale, y_scale = np.float32(0.037), np.float32(0.25 * np.sqrt(np.prod(w_shape[1:])))
    x_zero, y_zero = ends(x_type)[0] + 100, ends(y_type)[threads % 2]
    bias = RNG.integers(-3000, 3000, filters).astype(np.int32)
    sums = oracle.conv_sums(x, x_zero, w, bias=bias, **window)
    residual = integers(sums.shape, y_type)
    res_scale, res_zero = np.float32(0.3), 5
    scale = oracle.multiplier(x_scale, w_scale, by=y_scale)
    extra = (residual.astype(np.float32) - res_zero) * oracle.multiplier(res_scale, by=y_scale)
    bounds = {"": (-np.inf, np.inf), "relu": (0, np.inf), "clip": (-1.5, 6.0)}[activation]
    lo, hi = (oracle.multiplier(b, by=y_scale) for b in bounds)
    attrs = {
        **window,
        "activation": activation,
        "w_scale": w_scale,
        "x_scale": float(x_scale),
        "x_zero": int(x_zero),
        "y_scale": float(y_scale),
        "y_zero": int(y_zero),
        "y_dtype": np.dtype(y_type).name,
        **({"alpha": -1.5, "beta": 6.0} if activation == "clip" else {}),
    }
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
    wanted = oracle.requantize(oracle.finish(sums, scale, lo=lo, hi=hi), y_zero, y_type)
    np.testing.assert_array_equal(y, wanted)
    attrs |= {"res_scale": float(res_scale), "res_zero": res_zero}
    (y,) = run("conv", [x, w, bias, residual], attrs, constants=(1, 2), threads=threads)
    wanted = oracle.finish(sums, scale, residual=extra, lo=lo, hi=hi)
    np.testing.assert_array_equal(y, oracle.requantize(wanted, y_zero, y_type))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES, ids=IDS)
def test_float_output_of_integers_is_exact(x_shape, w_shape, window):
    x, w = integers(x_shape, np.uint8), integers(w_shape, np.int8)
    filters = w_shape[0]
    w_scale = RNG.uniform(0.001, 0.01, filters).astype(np.float32)
    bias = RNG.standard_normal(filters).astype(np.float32)
    sums = oracle.conv_sums(x, 3, w, **window)
    residual = RNG.standard_normal(sums.shape).astype(np.float32)
    attrs = {**window, "w_scale": w_scale, "x_scale": 0.25, "x_zero": 3, "activation": "relu"}
    (y,) = run("conv", [x, w, bias, residual], attrs, constants=(1, 2))
    scale = oracle.multiplier(np.float32(0.25), w_scale)
    np.testing.assert_array_equal(y, oracle.finish(sums, scale, bias, residual, lo=0.0))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES, ids=IDS)
def test_float_convolution(x_shape, w_shape, window, threads):
    x = RNG.standard_normal(x_shape).astype(np.float32)
    w = RNG.standard_normal(w_shape).astype(np.float32)
    bias = RNG.standard_normal(w_shape[0]).astype(np.float32)
    wanted = oracle.conv(x.astype(np.float64), w.astype(np.float64), **window) + bias
    (y,) = run("conv", [x, w, bias], window, constants=(1, 2), threads=threads)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    residual = RNG.standard_normal(wanted.shape).astype(np.float32)
    attrs = {**window, "activation": "hard_swish"}
    (y,) = run("conv", [x, w, bias, residual], attrs, constants=(1, 2), threads=threads)
    wanted = wanted + residual
    wanted = wanted * np.clip(wanted / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES, ids=IDS)
def test_weight_only_and_dynamic(x_shape, w_shape, window):
    x = RNG.standard_normal(x_shape).astype(np.float32)
    w = integers(w_shape, np.int8)
    w_scale = RNG.uniform(0.001, 0.01, w_shape[0]).astype(np.float32)
    real = w * w_scale.reshape((-1,) + (1,) * (w.ndim - 1))
    attrs = {**window, "w_scale": w_scale}
    (y,) = run("conv", [x, w], attrs, constants=(1,))
    wanted = oracle.conv(x.astype(np.float64), real.astype(np.float64), **window)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    (y,) = run("conv", [x, w], {**attrs, "dynamic": 1}, constants=(1,))
    scale = np.float32((max(x.max(), 0) - min(x.min(), 0)) / np.float32(255))
    zero = int(np.clip(np.rint(-min(x.min(), 0) / scale), 0, 255))
    q = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    sums = oracle.conv_sums(q, zero, w, **window)
    np.testing.assert_array_equal(y, oracle.finish(sums, oracle.multiplier(scale, w_scale)))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("index", [0, 3, 6, 14])
def test_other_activations_between_sum_and_quantization(index, threads):
    x_shape, w_shape, window = CASES[index]
    x, w = integers(x_shape, np.uint8), integers(w_shape, np.int8)
    w_scale = np.full(w_shape[0], 0.004, np.float32)
    sums = oracle.conv_sums(x, 128, w, **window)
    residual = integers(sums.shape, np.uint8)
    attrs = {
        **window,
        "w_scale": w_scale,
        "x_scale": 0.02,
        "x_zero": 128,
        "y_scale": 0.05,
        "y_zero": 10,
        "res_scale": 0.01,
        "res_zero": 7,
        "activation": "hard_swish",
    }
    (y,) = run("conv", [x, w, None, residual], attrs, constants=(1,), threads=threads)
    v = oracle.finish(sums, oracle.multiplier(np.float32(0.02), w_scale))
    v = v + (residual.astype(np.float32) - 7) * np.float32(0.01)
    v = v * np.clip(v / 6 + 0.5, 0, 1)
    wanted = oracle.requantize(v / np.float32(0.05), 10, np.uint8)
    assert np.abs(y.astype(int) - wanted).max() <= 1  # the float function may differ in a last bit
    assert (y != wanted).mean() < 0.01


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(auto_pad):
    x = RNG.standard_normal((1, 7, 6, 3)).astype(np.float32)
    w = RNG.standard_normal((4, 3, 3, 4)).astype(np.float32)
    (y,) = run("conv", [x, w], {"auto_pad": auto_pad, "strides": [2, 1]}, constants=(1,))
    pads = {"SAME_UPPER": [1, 1, 1, 2], "SAME_LOWER": [1, 2, 1, 1], "VALID": [0] * 4}[auto_pad]
    wanted = oracle.conv(x, w, strides=[2, 1], pads=pads)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


def test_rows_of_every_residue_and_runs_on_other_inputs():
    w = RNG.integers(-128, 128, (65, 16, 3, 1)).astype(np.int8)
    for rows in range(1, 30):
        x = integers((1, rows + 2, 1, 16), np.uint8)
        (y,) = run("ConvInteger", [x, w], constants=(1,))
        np.testing.assert_array_equal(y, oracle.conv_sums(x, 0, w))


def test_empty_batch():
    x = np.zeros((0, 5, 5, 3), np.float32)
    (y,) = run("conv", [x, np.ones((2, 3, 3, 3), np.float32)], constants=(1,))
    assert y.shape == (0, 3, 3, 2)


@pytest.mark.parametrize(
    ("x", "w", "attrs", "message"),
    [
        ((1, 5, 5, 3), (2, 4, 3, 3), {}, r"input 0 \(x\) has shape \[1, 5, 5, 3\].*4\]"),
        ((1, 2, 5, 3), (2, 3, 3, 3), {}, "smaller than the window"),
        ((1, 5, 5, 4), (3, 2, 3, 3), {"group": 2}, "multiple of the groups"),
        ((1, 5, 5, 3), (2, 3, 3, 3), {"strides": [0, 1]}, "strides must be at least 1"),
        ((1, 5, 5, 3), (2, 3, 3, 3), {"pads": [1, 1]}, "pads must have 4 values"),
        ((1, 5, 5, 3), (2, 3, 3, 3), {"auto_pad": "SAME"}, "auto_pad must be"),
        ((1, 5, 5, 3), (2, 3, 3, 3), {"kernel_shape": [2, 2]}, "kernel_shape"),
        ((1, 5, 3), (2, 3), {}, "1 to 3 spatial dimensions"),
    ],
)
def test_refusals(x, w, attrs, message):
    inputs = [np.zeros(x, np.float32), np.zeros(w, np.float32)]
    with pytest.raises(ValueError, match=message):
        run("conv", inputs, attrs, constants=(1,))
