"""Activations that are no clamp between sums and bytes, and float layers that give bytes: exact."""

from __future__ import annotations

import numpy as np
import pytest

from tests import oracle_conv as oracle
from tests.native import run

pytestmark = pytest.mark.usefixtures("isa")
RNG = np.random.default_rng(29)
ENDS = {np.uint8: (0, 255), np.int8: (-128, 127)}
PLAIN = np.float32(0.07)
DIVIDED = (PLAIN.view(np.int32) & ~0xFFFF | 3).astype(np.int32).view(np.float32)
"""Scales by which two products divide, and by which they may not: divide.inc.h."""

# height, width, channels, kernel, strides: the ways of depthwise kernels, and a gemm
CASES = [
    (6, 7, 98, (3, 3), (1, 1), True),
    (7, 9, 130, (3, 3), (2, 2), True),
    (9, 41, 98, (5, 5), (1, 1), True),
    (9, 12, 33, (5, 5), (2, 1), True),
    (8, 6, 70, (7, 7), (1, 2), True),
    (5, 9, 64, (2, 3), (3, 3), True),
    (70, 130, 34, (3, 3), (1, 1), True),  # lines whose sums are kept for a few at a time
    (5, 6, 35, (1, 1), (1, 1), False),
]


def integers(shape, dtype):
    low, high = ENDS[dtype]
    return RNG.integers(low, high + 1, shape).astype(dtype)


def hard_swish(v, gain, shift):
    ramp = np.clip(v * np.float32(1 / 6) + np.float32(0.5), 0, 1).astype(np.float32)
    return (v * ramp * np.float32(gain) + np.float32(shift)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("y_scale", [PLAIN, DIVIDED])
@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize(("height", "width", "channels", "kernel", "strides", "depthwise"), CASES)
def test_hard_swish_of_integer_sums(
    height, width, channels, kernel, strides, depthwise, dtype, y_scale, threads
):
    x = integers((2, height, width, channels), dtype)
    w = integers((channels, 1 if depthwise else channels, *kernel), np.int8)
    bias = RNG.standard_normal(channels).astype(np.float32)
    bias[:3] = 1e9, -1e9, np.float32(2.0**31)  # beyond int32 in units of y
    w_scale = RNG.uniform(0.001, 0.003, channels).astype(np.float32)
    pads = [kernel[0] // 2, kernel[1] // 2] * 2
    window = {"strides": list(strides), "pads": pads, "group": channels if depthwise else 1}
    x_zero, y_zero = ENDS[dtype][0] + 9, ENDS[dtype][threads - 1]
    sums = oracle.conv_sums(x, x_zero, w, **window)
    v = oracle.finish(sums, oracle.multiplier(np.float32(0.02), w_scale), bias)
    for gain, shift in ((1.0, 0.0), (0.47, -1.25)):
        attrs = {
            **window, "w_scale": w_scale, "x_scale": 0.02, "x_zero": x_zero, "y_scale": y_scale,
            "y_zero": y_zero, "y_dtype": np.dtype(dtype).name, "activation": "hard_swish",
            "gain": gain, "shift": shift,
        }  # fmt: skip
        (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
        wanted = oracle.requantize(hard_swish(v, gain, shift) / y_scale, y_zero, dtype)
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize(("height", "width", "channels", "kernel", "strides", "depthwise"), CASES)
def test_other_functions_of_integer_sums(
    height, width, channels, kernel, strides, depthwise, dtype, threads
):
    """The sums are exact as floats, and the function is that of the operator by itself."""
    x = integers((2, height, width, channels), dtype)
    w = integers((channels, 1 if depthwise else channels, *kernel), np.int8)
    bias = RNG.standard_normal(channels).astype(np.float32)
    bias[:2] = np.nan, np.inf
    w_scale = RNG.uniform(0.001, 0.003, channels).astype(np.float32)
    pads = [kernel[0] // 2, kernel[1] // 2] * 2
    window = {"strides": list(strides), "pads": pads, "group": channels if depthwise else 1}
    x_zero, y_zero = ENDS[dtype][0] + 9, ENDS[dtype][threads - 1]
    attrs = {**window, "w_scale": w_scale, "x_scale": 0.02, "x_zero": x_zero}
    sums = oracle.conv_sums(x, x_zero, w, **window)
    v = oracle.finish(sums, oracle.multiplier(np.float32(0.02), w_scale), bias)
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
    np.testing.assert_array_equal(y, v)
    clip = attrs | {"activation": "clip", "alpha": -1.0, "beta": 2.0}
    (y,) = run("conv", [x, w, bias], clip, constants=(1, 2), threads=threads)
    np.testing.assert_array_equal(y, np.clip(v, -1, 2))
    (wanted,) = run("Silu", [v])
    attrs["activation"] = "silu"
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
    np.testing.assert_array_equal(y, wanted)
    attrs |= {"y_scale": PLAIN, "y_zero": y_zero, "y_dtype": np.dtype(dtype).name}
    (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
    wanted[np.isnan(wanted)] = -np.inf  # to the low end
    np.testing.assert_array_equal(y, oracle.requantize(wanted / PLAIN, y_zero, dtype))


@pytest.mark.parametrize("activation", ["", "relu", "clip", "hard_swish", "silu"])
@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize("op", ["conv", "depthwise", "linear"])
def test_a_float_layer_gives_the_bytes_of_what_it_computes(op, dtype, activation):
    x = RNG.standard_normal((2, 5, 6, 35)).astype(np.float32)
    shapes = {"conv": (20, 35, 3, 2), "depthwise": (35, 1, 5, 5), "linear": (35, 19)}
    w = RNG.standard_normal(shapes[op]).astype(np.float32)
    columns = w.shape[1 if op == "linear" else 0]
    bias = RNG.standard_normal(columns).astype(np.float32)
    attrs = {"activation": activation, "alpha": -1.0, "beta": 2.0} if activation == "clip" else {}
    attrs |= {"activation": activation, "gain": 0.8, "shift": 0.1 if activation == "silu" else 0.0}
    attrs |= {"group": 35} if op == "depthwise" else {}
    name = "linear" if op == "linear" else "conv"
    (floats,) = run(name, [x, w, bias], attrs, constants=(1, 2))
    y_zero = ENDS[dtype][0] + 100
    attrs |= {"y_scale": PLAIN, "y_zero": y_zero, "y_dtype": np.dtype(dtype).name}
    (y,) = run(name, [x, w, bias], attrs, constants=(1, 2))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, oracle.requantize(floats / PLAIN, y_zero, dtype))

    residual = integers(y.shape, dtype)  # comes before the activation, and in bytes
    extra = (residual.astype(np.float32) - np.float32(7)) * np.float32(0.03)
    if not activation and op != "linear":
        plain = {k: v for k, v in attrs.items() if not k.startswith("y_")} | {"gain": 1.0}
        (floats,) = run(name, [x, w, bias, extra], plain, constants=(1, 2))
        attrs |= {"res_scale": 0.03, "res_zero": 7, "gain": 1.0}
        (y,) = run(name, [x, w, bias, residual], attrs, constants=(1, 2))
        np.testing.assert_array_equal(y, oracle.requantize(floats / PLAIN, y_zero, dtype))
