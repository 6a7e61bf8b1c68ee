"""Convolution by way of bfloat16: every instruction set against sums in float64."""

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_conv as oracle
from tests.oracle_bf16 import rounded


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def assert_near(got, x, w, bias, strides, pads, dilations):
    geometry = {"strides": strides, "pads": pads, "dilations": dilations}
    x, w = rounded(x).astype(np.float64), rounded(w).astype(np.float64)
    right = oracle.conv(x, w, **geometry) + bias
    terms = np.prod(w.shape[1:]) + 3
    bound = (
        terms * 2.0**-23 * (oracle.conv(np.abs(x), np.abs(w), **geometry) + np.abs(bias)) + 1e-30
    )
    assert got.shape == right.shape
    assert (np.abs(got - right) <= bound).all()


CASES = [  # spatial sizes, channels, filters, kernel, strides, pads, dilations
    ((9, 11), 24, 20, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),  # indirect
    ((9, 11), 17, 70, (3, 3), (2, 1), (0, 1, 2, 0), (1, 2)),  # odd depth, uneven pads
    ((8, 10), 33, 65, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),  # a plain product
    ((8, 10), 33, 9, (1, 1), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((13, 12), 3, 18, (7, 7), (2, 2), (3, 3, 3, 3), (1, 1)),  # gathered
    ((13, 12), 5, 66, (3, 3), (1, 1), (1, 0, 1, 2), (2, 1)),
    ((30,), 1, 4, (5,), (1,), (4, 0), (1,)),
    ((30,), 40, 4, (5,), (3,), (2, 2), (2,)),
    ((4, 5, 6), 16, 8, (2, 3, 1), (1, 2, 1), (0, 1, 0, 1, 1, 0), (1, 1, 1)),
]


@pytest.mark.parametrize(("size", "c", "o", "kernel", "strides", "pads", "dilations"), CASES)
@pytest.mark.usefixtures("isa")
def test_windows_of_all_kinds(size, c, o, kernel, strides, pads, dilations):
    rng = np.random.default_rng(1)
    x, w, bias = normal(rng, 2, *size, c), normal(rng, o, c, *kernel), normal(rng, o)
    packed = pc.pack_conv_bf16(w, bias, stride=strides, padding=pads, dilation=dilations)
    got = pc.conv_bf16(x, packed)
    assert_near(got, x, w, bias, strides, pads, dilations)
    around = np.full(got.size + 64, 99, np.float32)
    out = around[32:-32].reshape(got.shape)
    assert pc.conv_bf16(x, packed, out=out) is out
    np.testing.assert_array_equal(out, got)
    assert (around[:32] == 99).all()
    assert (around[-32:] == 99).all()


@pytest.mark.usefixtures("isa")
def test_what_lies_outside_is_zero_even_beside_nan():
    x = np.full((1, 3, 3, 17), np.nan, np.float32)
    x[0, 0, 0] = 1
    w = np.zeros((1, 17, 3, 3), np.float32)
    w[:, :, 1:, 1:] = 1
    w[:, :, 0, 0] = 5  # only ever outside for pixel (0, 0)
    x[0, :2, :2] = 1
    got = pc.conv_bf16(x, pc.pack_conv_bf16(w, padding=1))
    assert got[0, 0, 0, 0] == 4 * 17
    assert np.isnan(got[0, 2, 2, 0])


@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.usefixtures("isa")
def test_every_thread_count_gives_the_same_bytes(channels):
    rng = np.random.default_rng(2)
    x, w = normal(rng, 1, 40, 37, channels), normal(rng, 70, channels, 3, 3)
    packed = pc.pack_conv_bf16(w, padding=1)
    before = pc.get_num_threads()
    results = set()
    try:
        for threads in (1, 2, 3, 5):
            pc.set_num_threads(threads)
            results.add(pc.conv_bf16(x, packed).tobytes())
    finally:
        pc.set_num_threads(before)
    assert len(results) == 1


def filters(*shape):
    return pc.pack_conv_bf16(np.ones(shape, np.float32))


REFUSED = [
    (lambda: pc.pack_conv_bf16(np.ones((2, 3, 3, 3))), TypeError, "w has dtype float64, wanted"),
    (lambda: filters(2, 3), ValueError, r"w has shape \(2, 3\), wanted \[O, I, k\.\.\.\]"),
    (
        lambda: pc.pack_conv_bf16(np.ones((2, 3, 3, 3), np.float32), stride=(1, 2, 3)),
        ValueError,
        "pack_conv_bf16: stride must be one integer or 2 of them",
    ),
    (
        lambda: pc.conv_bf16(np.ones((1, 5, 5, 4), np.float32), filters(2, 3, 3, 3)),
        ValueError,
        r"x has shape \(1, 5, 5, 4\), wanted \[N, H, W, 3\]",
    ),
    (
        lambda: pc.conv_bf16(
            np.ones((1, 5, 5, 3), np.float32),
            filters(2, 3, 3, 3),
            np.ones((1, 5, 5, 2), np.float32),
        ),
        ValueError,
        r"out has shape \(1, 5, 5, 2\), wanted \(1, 3, 3, 2\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
