"""`conv` and ConvInteger against `oracle_conv`: every path, sign pair and instruction set, to the bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_conv as oracle
from tests.native import program, run


@dataclass(frozen=True)
class Shape:
    """A convolution: batch 2, so that images border on each other in memory."""

    size: tuple[int, ...]
    channels: int
    filters: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    group: int = 1

    def attrs(self):
        ones = (1,) * len(self.size)
        return {
            "strides": list(self.strides or ones),
            "pads": list(self.pads or (0,) * (2 * len(self.size))),
            "dilations": list(self.dilations or ones),
            "group": self.group,
        }

    def x_shape(self):
        return (2, *self.size, self.channels)

    def w_shape(self):
        return (self.filters, self.channels // self.group, *self.kernel)


SHAPES = {
    "1x1": Shape((5, 7), 16, 70, (1, 1)),
    "1x1-odd-depth": Shape((5, 7), 17, 9, (1, 1)),
    "1x1-stride-2": Shape((7, 6), 8, 5, (1, 1), strides=(2, 2)),
    "3x3": Shape((6, 9), 64, 66, (3, 3), pads=(1, 1, 1, 1)),
    "3x3-one-channel": Shape((9, 9), 1, 16, (3, 3), pads=(1, 1, 1, 1)),
    "3x3-three-channels": Shape((9, 8), 3, 32, (3, 3), strides=(2, 2), pads=(0, 0, 1, 1)),
    "3x3-seventeen": Shape((5, 5), 17, 3, (3, 3), pads=(1, 1, 1, 1)),
    "dilated": Shape((9, 8), 4, 6, (3, 2), pads=(2, 1, 0, 3), dilations=(2, 3)),
    "all-padding-taps": Shape((2, 2), 4, 4, (5, 5), pads=(3, 3, 3, 3)),
    "groups": Shape((6, 5), 12, 8, (3, 3), pads=(1, 0, 1, 0), group=4),
    "depthwise": Shape((9, 11), 35, 35, (3, 3), pads=(1, 1, 1, 1), group=35),
    "depthwise-stride-2": Shape((10, 9), 64, 64, (3, 3), (2, 2), (1, 1, 1, 1), group=64),
    "depthwise-5x5": Shape((7, 8), 16, 16, (5, 5), (1, 2), (2, 2, 2, 2), group=16),
    "depthwise-dilated": Shape((8, 8), 9, 9, (3, 3), (), (2, 2, 2, 2), (2, 2), group=9),
    "depth-multiplier": Shape((5, 6), 6, 12, (3, 3), pads=(1, 1, 1, 1), group=6),
    "1d": Shape((40,), 8, 12, (5,), strides=(2,), pads=(2, 1)),
    "1d-depthwise": Shape((33,), 20, 20, (3,), pads=(1, 1), group=20),
    "3d": Shape((3, 4, 5), 4, 7, (2, 3, 2), pads=(1, 1, 0, 0, 1, 1)),
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def integers(rng, dtype, shape):
    """Random over the full range, with runs of both ends placed: the sums that saturate wrong code."""
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max + 1, shape).astype(dtype)
    flat = values.reshape(-1)
    third = flat.size // 3
    flat[:third] = info.max
    flat[third : third + third // 2] = info.min
    return values


def expected_sums(shape, x, w, x_zero=0, w_zero=0):
    return oracle.convolve(x, w, **shape.attrs(), x_zero=x_zero, w_zero=w_zero)


@EVERY_SHAPE
@pytest.mark.parametrize("x_dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("w_dtype", [np.uint8, np.int8])
def test_integer_sums_are_exact(isa, shape, x_dtype, w_dtype):  # noqa: ARG001
    rng = np.random.default_rng(1)
    x, w = integers(rng, x_dtype, shape.x_shape()), integers(rng, w_dtype, shape.w_shape())
    low, high = np.iinfo(x_dtype).min, np.iinfo(x_dtype).max
    w_zero = rng.integers(np.iinfo(w_dtype).min, np.iinfo(w_dtype).max + 1, shape.filters)
    for x_zero in (low, 0 if x_dtype == np.int8 else 128, high):
        zeros = [np.array(x_zero, x_dtype), w_zero.astype(w_dtype)]
        inputs = [x, w, *zeros]
        (y,) = run("ConvInteger", inputs, shape.attrs(), constants=(1, 2, 3))
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y, expected_sums(shape, x, w, x_zero, w_zero))


def quantized_attrs(shape, rng, x_zero, y_zero, y_dtype):
    depth = np.prod(shape.w_shape()[1:])
    return {
        **shape.attrs(),
        "w_scale": rng.uniform(0.5, 1.5, shape.filters).astype(np.float32),
        "x_scale": 0.5,
        "x_zero": x_zero,
        "y_scale": float(np.float32(40 * np.sqrt(depth))),
        "y_zero": y_zero,
        "y_dtype": np.dtype(y_dtype).name,
    }


def multiplier(attrs):
    exact = np.float64(np.float32(attrs["x_scale"])) * attrs["w_scale"].astype(np.float64)
    return (exact / np.float64(np.float32(attrs["y_scale"]))).astype(np.float32)


@EVERY_SHAPE
@pytest.mark.parametrize("x_dtype", [np.uint8, np.int8])
def test_requantized_output_is_exact(isa, shape, x_dtype):  # noqa: ARG001
    rng = np.random.default_rng(2)
    x, w = integers(rng, x_dtype, shape.x_shape()), integers(rng, np.int8, shape.w_shape())
    bias = rng.integers(-5000, 5000, shape.filters).astype(np.int32)
    ends = np.iinfo(x_dtype)
    for x_zero, y_zero in ((ends.min, ends.max), (ends.max, ends.min), (3, 7)):
        attrs = quantized_attrs(shape, rng, x_zero, y_zero, x_dtype)
        (y,) = run("conv", [x, w, bias], attrs, constants=(1, 2))
        sums = expected_sums(shape, x, w, x_zero) + bias
        np.testing.assert_array_equal(
            y, oracle.requantize(sums, multiplier(attrs), None, y_zero, x_dtype)
        )


def test_requantization_rounds_ties_to_even(isa):  # noqa: ARG001
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    attrs = {"w_scale": np.ones(1, np.float32), "x_scale": 1.0, "x_zero": 128}
    attrs |= {"y_scale": 2.0, "y_zero": 100, "y_dtype": "uint8"}
    (y,) = run("conv", [x, np.ones((1, 1, 1, 1), np.int8)], attrs, constants=(1,))
    wanted = np.rint((x.astype(np.float64) - 128) / 2) + 100
    np.testing.assert_array_equal(y, wanted.astype(np.uint8))


@EVERY_SHAPE
def test_float_sums(isa, shape):  # noqa: ARG001
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape.x_shape()).astype(np.float32)
    w = rng.standard_normal(shape.w_shape()).astype(np.float32)
    b = rng.standard_normal(shape.filters).astype(np.float32)
    sums = expected_sums(shape, x, w) + b
    r = rng.standard_normal(sums.shape).astype(np.float32)
    limit = {"rtol": 1e-4, "atol": 1e-4}
    (y,) = run("conv", [x, w, b], shape.attrs(), constants=(1, 2))
    np.testing.assert_allclose(y, sums, **limit)
    attrs = {**shape.attrs(), "activation": "relu"}
    (y,) = run("conv", [x, w, b, r], attrs, constants=(1, 2))
    np.testing.assert_allclose(y, np.maximum(sums + r, 0), **limit)
    attrs = {**shape.attrs(), "activation": "hard_swish"}
    (y,) = run("conv", [x, w, b, r], attrs, constants=(1, 2))
    v = sums + r
    np.testing.assert_allclose(y, v * np.clip(v / 6 + 0.5, 0, 1), **limit)


@EVERY_SHAPE
def test_dynamic_quantization_follows_onnx(isa, shape):  # noqa: ARG001
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape.x_shape()).astype(np.float32)
    w = integers(rng, np.int8, shape.w_shape())
    scale = rng.uniform(0.01, 0.02, shape.filters).astype(np.float32)
    attrs = {**shape.attrs(), "w_scale": scale, "dynamic": 1}
    (y,) = run("conv", [x, w], attrs, constants=(1,))
    q, x_scale, x_zero = run("DynamicQuantizeLinear", [x], outputs=3)
    sums = expected_sums(shape, q, w, int(x_zero)).astype(np.float32)
    m = (np.float64(x_scale) * scale.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(y, sums * m)


@EVERY_SHAPE
def test_same_bits_on_every_set_and_thread_count(shape):
    rng = np.random.default_rng(5)
    x, w = integers(rng, np.uint8, shape.x_shape()), integers(rng, np.int8, shape.w_shape())
    bias = rng.standard_normal(shape.filters).astype(np.float32)
    attrs = {**quantized_attrs(shape, rng, 9, 130, np.uint8), "activation": "hard_swish"}
    before, answers = pc.isa(), set()
    try:
        for name in pc.available_isas():
            pc.use_isa(name)
            for threads in (1, 2, 5):
                built = program("conv", [x, w, bias], attrs, constants=(1, 2), threads=threads)
                answers.add(built.run([x])[0].tobytes())
    finally:
        pc.use_isa(before)
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("attrs", "words"),
    [
        ({"group": 3}, "group"),
        ({"strides": [0, 1]}, "stride"),
        ({"dilations": [1, -1]}, "dilation"),
        ({"pads": [1, 1]}, "pads"),
        ({"auto_pad": "SOME"}, "auto_pad"),
    ],
)
def test_refusals_name_the_attribute(attrs, words):
    x, w = np.zeros((1, 5, 5, 4), np.float32), np.zeros((4, 4, 3, 3), np.float32)
    with pytest.raises(ValueError, match=words):
        run("conv", [x, w], attrs, constants=(1,))


def test_a_wrong_channel_count_is_named():
    x, w = np.zeros((1, 5, 5, 6), np.float32), np.zeros((4, 4, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"shape \[1, 5, 5, 6\], wanted"):
        run("conv", [x, w], constants=(1,))
