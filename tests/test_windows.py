"""Pooling, ConvTranspose and Resize, which take channels last, against onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import reference, run

RNG = np.random.default_rng(7)


def channels_last(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


POOLS = {
    "2x2": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "3x3-padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "uneven": {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [2, 0, 0, 1]},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
}


@pytest.mark.parametrize("attrs", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("channels", [1, 5, 64])
def test_float_pools(isa, op, attrs, channels):  # noqa: ARG001
    x = f32(2, channels, 8, 10)
    (wanted,) = reference(op, [x], attrs)
    (y,) = run(op, [channels_last(x)], attrs)
    np.testing.assert_allclose(channels_first(y), wanted, rtol=1e-5, atol=1e-6)


def test_average_pool_can_count_the_padding():
    attrs = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    x = f32(1, 3, 6, 6)
    (y,) = run("AveragePool", [channels_last(x)], attrs)
    np.testing.assert_allclose(
        channels_first(y), reference("AveragePool", [x], attrs)[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("attrs", POOLS.values(), ids=POOLS)
def test_max_pool_of_integers(isa, dtype, attrs):  # noqa: ARG001
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max + 1, (2, 9, 8, 10)).astype(dtype)
    (wanted,) = reference("MaxPool", [x.astype(np.float32)], attrs)
    (y,) = run("MaxPool", [channels_last(x)], attrs)
    assert y.dtype == dtype
    np.testing.assert_array_equal(channels_first(y), wanted.astype(dtype))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 17, 7, 5), (1, 64, 112, 3)])
def test_global_pools(isa, shape):  # noqa: ARG001
    x = f32(*shape)
    for op, wanted in (
        ("GlobalAveragePool", x.astype(np.float64).mean((2, 3), keepdims=True)),
        ("GlobalMaxPool", x.max((2, 3), keepdims=True)),
    ):
        (y,) = run(op, [channels_last(x)])
        np.testing.assert_allclose(channels_first(y), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_global_average_pool_of_integers(isa, dtype):  # noqa: ARG001
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max + 1, (2, 7, 6, 33)).astype(dtype)
    attrs = {"x_scale": 0.25, "x_zero": info.max, "y_scale": 0.125, "y_zero": info.min + 3}
    (y,) = run("q_global_average_pool", [x], attrs)
    mean = (x.astype(np.int64) - info.max).sum((1, 2), keepdims=True) * (0.25 / 42 / 0.125)
    wanted = np.clip(np.rint(mean) + info.min + 3, info.min, info.max).astype(dtype)
    assert np.abs(y.astype(int) - wanted.astype(int)).max() <= 1  # ties in float32
    assert (y == wanted).mean() > 0.98


TRANSPOSES = {
    "plain": {},
    "stride-2": {"strides": [2, 2]},
    "padded": {"strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 0]},
    "dilated": {"dilations": [2, 1]},
}


@pytest.mark.parametrize("attrs", TRANSPOSES.values(), ids=TRANSPOSES)
@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose(isa, attrs, group):  # noqa: ARG001
    x, w, b = f32(2, 6, 5, 4), f32(6, 4, 3, 3), f32(4 * group)
    parts = [np.split(a, group, axis) for a, axis in ((x, 1), (w, 0), (b, 0))]
    # onnx.reference cannot do groups: each one on its own.
    halves = [reference("ConvTranspose", list(p), attrs)[0] for p in zip(*parts, strict=True)]
    wanted = np.concatenate(halves, 1)
    attrs = {**attrs, "group": group}
    (y,) = run("conv_transpose", [channels_last(x), w, b], attrs, constants=(1, 2))
    np.testing.assert_allclose(channels_first(y), wanted, rtol=1e-4, atol=1e-4)


RESIZES = [
    ("nearest", "asymmetric", "floor"),
    ("nearest", "half_pixel", "round_prefer_floor"),
    ("nearest", "align_corners", "round_prefer_ceil"),
    ("linear", "half_pixel", "round_prefer_floor"),
    ("linear", "align_corners", "round_prefer_floor"),
    ("linear", "pytorch_half_pixel", "round_prefer_floor"),
    ("cubic", "half_pixel", "round_prefer_floor"),
]


@pytest.mark.parametrize(("mode", "coordinates", "nearest"), RESIZES)
@pytest.mark.parametrize("scales", [(2.0, 2.0), (0.6, 1.7)])
def test_resize(isa, mode, coordinates, nearest, scales):  # noqa: ARG001
    x = f32(1, 3, 5, 7)
    attrs = {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": nearest,
    }
    first = np.array([1, 1, *scales], np.float32)
    last = np.array([1, *scales, 1], np.float32)
    (wanted,) = reference("Resize", [x, None, first], attrs)
    (y,) = run("Resize", [channels_last(x), None, last], attrs, constants=(2,))
    np.testing.assert_allclose(channels_first(y), wanted, rtol=1e-4, atol=1e-5)
