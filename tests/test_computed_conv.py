"""Convolutions whose weights come with the call, and quantization by blocks."""

import numpy as np
import pytest

from tests import oracle_conv, oracle_quantize
from tests.native import run
from tests.test_conv_ops import CASES, IDS, TYPES, ends, integers

RNG = np.random.default_rng(6)
SOME = CASES[::4]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("w_type", TYPES)
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), SOME, ids=IDS[::4])
def test_sums_are_exact(x_shape, w_shape, window, w_type):
    w = integers(w_shape, w_type)
    for x_type in TYPES:
        x, x_zero = integers(x_shape, x_type), ends(x_type)[1]
        for w_zero in (np.array(ends(w_type)[0], w_type), integers(w_shape[0], w_type)):
            (y,) = run("ConvInteger", [x, w, np.array(x_zero, x_type), w_zero], window)
            zeros = w_zero.reshape(-1, *[1] * (w.ndim - 1)).astype(np.int32)
            wanted = oracle_conv.conv_sums(x, x_zero, w.astype(np.int32) - zeros, 0, **window)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("x_shape", "w_shape", "window"), SOME, ids=IDS[::4])
def test_floats(x_shape, w_shape, window):
    x = RNG.standard_normal(x_shape).astype(np.float32)
    w = RNG.standard_normal(w_shape).astype(np.float32)
    b = RNG.standard_normal(w_shape[0]).astype(np.float32)
    wanted = oracle_conv.conv(x, w, **window)
    np.testing.assert_allclose(run("Conv", [x, w], window)[0], wanted, rtol=1e-4, atol=1e-4)
    (y,) = run("Conv", [x, w, b], window, threads=2)
    np.testing.assert_allclose(y, wanted + b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shapes", "attrs", "message"),
    [
        ([(1, 5, 5, 3), (2, 4, 3, 3)], {}, r"input 0 \(x\) has shape \[1, 5, 5, 3\].*4\]"),
        ([(1, 5, 5, 3), (2, 3, 3, 3), (3,)], {}, r"input 2 \(b\) has shape \[3\], wanted \[2\]"),
        ([(1, 5, 5, 3), (2, 3, 3, 3)], {"kernel_shape": [2, 2]}, "'kernel_shape'.*differs"),
        ([(1, 5, 5, 3), (3, 3)], {}, "must have 1 to 3 spatial dimensions"),
        ([(1, 5, 5, 3), (2, 3, 3, 3)], {"group": 3}, "'group' is 3"),
    ],
)
def test_what_does_not_fit(shapes, attrs, message):
    with pytest.raises(ValueError, match=message):
        run("Conv", [np.ones(shape, np.float32) for shape in shapes], attrs)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("shape", "axis", "block"),
    [((3, 10), 1, 4), ((2, 7, 5), 1, 3), ((9,), 0, 20), ((4, 3), -2, 1), ((0, 6), 1, 2)],
)
def test_blocks(shape, axis, block, dtype):
    x = RNG.normal(0, 20, shape).astype(np.float32)
    x.reshape(-1)[:3] = np.array([np.nan, np.inf, -np.inf], np.float32)[: x.size]
    of_scale = list(shape)
    of_scale[axis] = -(-shape[axis] // block)
    scale = RNG.uniform(0.1, 1.0, of_scale).astype(np.float32)
    zero = RNG.integers(*oracle_quantize.LIMITS[dtype], of_scale).astype(dtype)
    attrs = {"axis": axis, "block_size": block}
    every = [
        np.take(np.repeat(p, block, axis), np.arange(shape[axis]), axis) for p in (scale, zero)
    ]
    (q,) = run("QuantizeLinear", [x, scale, zero], attrs)
    lo, hi = oracle_quantize.LIMITS[dtype]
    with np.errstate(invalid="ignore"):
        v = np.rint(x / every[0]).astype(np.float64) + every[1]
    np.testing.assert_array_equal(q, np.clip(np.where(np.isnan(v), lo, v), lo, hi).astype(dtype))
    (y,) = run("DequantizeLinear", [q, scale, zero], attrs)
    shifted = q.astype(np.int64) - every[1].astype(np.int64)
    np.testing.assert_array_equal(y, shifted.astype(np.float32) * every[0])


def test_blocks_that_do_not_cover_the_axis():
    inputs = [np.ones((2, 9), np.float32), np.ones((2, 2), np.float32)]
    with pytest.raises(ValueError, match=r"scale has shape \[2, 2\], wanted \[2, 3\] for blocks"):
        run("QuantizeLinear", inputs, {"axis": 1, "block_size": 4})
