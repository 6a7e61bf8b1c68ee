"""Depthwise convolution to bytes, many lines in one call: the edges of lines, pairs and blocks."""

from __future__ import annotations

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_conv as oracle

RNG = np.random.default_rng(17)

# height, width, channels, kernel, stride, padding (top, left, bottom, right)
CASES = [
    (1, 1, 32, (3, 3), 1, (1, 1, 1, 1)),
    (2, 3, 5, (3, 3), 1, (1, 1, 1, 1)),
    (5, 4, 64, (3, 3), 1, (2, 2, 2, 2)),
    (7, 9, 33, (3, 3), 1, (0, 0, 0, 0)),
    (5, 6, 130, (3, 3), 1, (1, 1, 1, 1)),
    (6, 7, 227, (3, 3), 2, (1, 1, 0, 1)),
    (6, 8, 31, (3, 3), 2, (1, 1, 0, 0)),
    (9, 5, 96, (3, 3), 2, (0, 2, 2, 3)),
    (4, 6, 40, (1, 3), 1, (0, 1, 0, 1)),
    (5, 7, 32, (2, 3), 2, (1, 0, 0, 1)),
    (5, 8, 36, (3, 3), (2, 1), (1, 1, 1, 1)),
    (6, 9, 36, (3, 3), (1, 2), (1, 1, 1, 1)),
    (8, 8, 70, (5, 5), 1, (2, 2, 2, 2)),
    (9, 11, 32, (5, 5), 2, (2, 2, 2, 2)),
    (7, 3, 19, (5, 5), 1, (4, 4, 0, 1)),
    (3, 70, 33, (5, 5), (1, 2), (2, 2, 2, 2)),
    (8, 75, 32, (5, 5), (2, 1), (2, 2, 2, 2)),  # more columns than are interleaved at a time
    (11, 6, 40, (5, 5), (3, 1), (2, 2, 2, 2)),
    (9, 41, 98, (5, 5), 1, (2, 2, 2, 2)),
    (9, 70, 67, (5, 5), 2, (2, 2, 2, 1)),
    (70, 130, 34, (3, 3), 1, (1, 1, 1, 1)),  # more lines than go into one call
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(("height", "width", "channels", "kernel", "stride", "padding"), CASES)
def test_bytes_are_exact_and_stay_within_out(
    height, width, channels, kernel, stride, padding, dtype
):
    low = np.iinfo(dtype).min
    x = RNG.integers(low, low + 256, (2, height, width, channels)).astype(dtype)
    w = RNG.integers(-128, 128, (channels, 1, *kernel)).astype(np.int8)
    scale = RNG.uniform(0.001, 0.01, channels).astype(np.float32)
    bias = RNG.standard_normal(channels).astype(np.float32)
    k = pc.pack_conv(w, scale, bias, stride=stride, padding=padding, groups=channels)
    strides = [stride] * 2 if isinstance(stride, int) else list(stride)
    window = {"strides": strides, "pads": list(padding), "group": channels}
    sums = oracle.conv_sums(x, low + 3, w, **window)
    y_scale = np.float32(0.9)
    v = oracle.finish(
        sums,
        oracle.multiplier(np.float32(0.5), scale, by=y_scale),
        oracle.multiplier(bias, by=y_scale),
    )
    wanted = oracle.requantize(v, low + 100, dtype)
    guarded = np.full(wanted.size + 128, 99, dtype)
    out = guarded[64:-64].reshape(wanted.shape)
    pc.qconv(
        x,
        k,
        x_scale=0.5,
        x_zero_point=low + 3,
        y_scale=float(y_scale),
        y_zero_point=low + 100,
        y_dtype=np.dtype(dtype).name,
        out=out,
    )
    np.testing.assert_array_equal(out, wanted)
    assert (guarded[:64] == 99).all()
    assert (guarded[-64:] == 99).all()


# Sums that the conversion to int32 can't hold, and bounds within the type, keep a clamp that the
# saturation of the type does not replace.
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("size", "bias", "activation"), [(0.01, 1.0, "relu"), (1e9, 1.0, None), (0.01, 1e12, None)]
)
def test_what_saturation_does_not_hold(size, bias, activation, stride, kernel, dtype):
    channels, low = 98, np.iinfo(dtype).min
    x = RNG.integers(low, low + 256, (1, 6, 7, channels)).astype(dtype)
    w = RNG.integers(-128, 128, (channels, 1, kernel, kernel)).astype(np.int8)
    scale = np.full(channels, 0.01, np.float32)
    scale[[3, 70, 97]] = size
    biases = np.zeros(channels, np.float32)
    biases[[3, 71, 97]] = [bias, -bias, bias]
    pads = [kernel // 2] * 4
    k = pc.pack_conv(w, scale, biases, stride=stride, padding=pads, groups=channels)
    sums = oracle.conv_sums(x, low + 3, w, strides=[stride] * 2, pads=pads, group=channels)
    lo = 0 if activation == "relu" else -np.inf
    v = oracle.finish(
        sums, oracle.multiplier(np.float32(0.5), scale), oracle.multiplier(biases), lo=lo
    )
    found = pc.qconv(
        x,
        k,
        x_scale=0.5,
        x_zero_point=low + 3,
        y_scale=1.0,
        y_zero_point=low + 100,
        y_dtype=np.dtype(dtype).name,
        activation=activation,
    )
    np.testing.assert_array_equal(found, oracle.requantize(v, low + 100, dtype))
