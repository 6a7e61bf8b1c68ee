"""Convolutions by runs of taps from a copy of some input rows: what is special about them."""

from __future__ import annotations

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_conv as oracle
from tests.native import run

RNG = np.random.default_rng(11)

# x [N, spatial.., C], w [O, C, k..]
CASES = {
    "pixels side by side, and some left over": ((1, 5, 37, 1), (1, 1, 3, 5), {"pads": [1, 2] * 2}),
    "the same, apart": ((2, 4, 21, 2), (3, 2, 2, 4), {"strides": [1, 3]}),
    "fewer pixels than would lie side by side": ((1, 3, 5, 1), (1, 1, 2, 2), {}),
    "many channels, many rows of padding": ((1, 3, 9, 32), (8, 32, 5, 3), {"pads": [2, 1] * 2}),
    "rows of nothing but padding": ((1, 4, 4, 8), (16, 8, 2, 2), {"pads": [3, 0, 4, 1]}),
    "rows apart": ((1, 9, 6, 16), (32, 16, 3, 2), {"dilations": [3, 1], "pads": [3, 1, 3, 0]}),
    "a row in several bands": ((1, 5000, 3), (2, 3, 9), {"pads": [4, 4]}),
    "planes": ((1, 4, 5, 6, 3), (2, 3, 2, 3, 3), {"pads": [1, 1, 1] * 2, "strides": [2, 1, 1]}),
}
GRID = pytest.mark.parametrize(("x_shape", "w_shape", "window"), CASES.values(), ids=CASES)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("zero", [0, 7])
@GRID
def test_integers_are_exact(x_shape, w_shape, window, zero):
    for dtype in (np.uint8, np.int8):
        low = np.iinfo(dtype).min
        x = RNG.integers(low, low + 256, x_shape).astype(dtype)
        w = RNG.integers(-128, 128, w_shape).astype(np.int8)
        inputs = [x, w, np.array(low + zero, dtype)]
        wanted = oracle.conv_sums(x, low + zero, w, **window)
        for threads in (1, 3):
            (y,) = run("ConvInteger", inputs, window, constants=(1,), threads=threads)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("activation", ["relu", "hard_swish"])
@GRID
def test_float_with_all_that_follows(x_shape, w_shape, window, activation):
    x = RNG.standard_normal(x_shape).astype(np.float32)
    w = RNG.standard_normal(w_shape).astype(np.float32)
    bias = RNG.standard_normal(w_shape[0]).astype(np.float32)
    wanted = oracle.conv(x.astype(np.float64), w.astype(np.float64), **window) + bias
    residual = RNG.standard_normal(wanted.shape).astype(np.float32)
    wanted += residual
    wanted *= wanted > 0 if activation == "relu" else np.clip(wanted / 6 + 0.5, 0, 1)
    attrs = {**window, "activation": activation}
    for threads in (1, 3):
        (y,) = run("conv", [x, w, bias, residual], attrs, constants=(1, 2), threads=threads)
        np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_within_its_windows(special):
    x = RNG.standard_normal((2, 3, 40, 1)).astype(np.float32)
    w = RNG.uniform(1, 2, (2, 1, 3, 3)).astype(np.float32)
    x[0, 1, 17] = special
    window = {"pads": [1, 1, 1, 1]}
    (y,) = run("conv", [x, w], window, constants=(1,))
    reached = np.zeros(y.shape, bool)
    reached[0, :, 16:19] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)
    np.testing.assert_array_equal(y[reached], np.full(18, special, np.float32))
    x[0, 1, 17] = 0
    wanted = oracle.conv(x.astype(np.float64), w.astype(np.float64), **window)
    np.testing.assert_allclose(y[~reached], wanted[~reached], rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("isa")
def test_writes_only_out():
    x = RNG.integers(0, 256, (1, 4, 37, 1)).astype(np.uint8)
    w = RNG.integers(-128, 128, (3, 1, 3, 3)).astype(np.int8)
    k = pc.pack_conv(w, 0.01, padding=1)
    arguments = {"x_scale": 1.0, "x_zero_point": 9, "y_scale": 4.0, "y_zero_point": 128}
    wanted = pc.qconv(x, k, **arguments)
    guarded = np.full(wanted.size + 128, 99, np.uint8)
    out = guarded[64:-64].reshape(wanted.shape)
    pc.qconv(x, k, **arguments, out=out)
    np.testing.assert_array_equal(out, wanted)
    assert (guarded[:64] == 99).all()
    assert (guarded[-64:] == 99).all()
