"""Depthwise convolution in float32: its edges, its range, and its input computed along the way."""

from __future__ import annotations

import numpy as np
import pytest

import pycompress as pc
from pycompress import _core
from tests import oracle_conv as oracle
from tests.native import program, run

RNG = np.random.default_rng(23)
FUSED = [name for name in pc.available_isas() if name != "scalar"]


def f32(*shape):
    return RNG.standard_normal(shape, np.float32)


# height, width, channels, kernel, stride, padding (top, left, bottom, right)
CASES = [
    (1, 1, 16, 3, 1, (1, 1, 1, 1)),
    (2, 3, 33, 3, 1, (1, 1, 1, 1)),
    (3, 4, 15, 3, 1, (1, 1, 1, 1)),
    (5, 4, 64, 3, 1, (2, 2, 2, 2)),
    (7, 9, 40, 3, 1, (0, 0, 0, 0)),
    (6, 7, 47, 3, 2, (1, 1, 0, 1)),
    (9, 17, 16, 3, 2, (0, 2, 2, 3)),
    (8, 8, 70, 5, 1, (2, 2, 2, 2)),
    (9, 11, 32, 5, 2, (2, 2, 2, 2)),
    (7, 3, 19, 5, 1, (4, 4, 0, 1)),
    (4, 30, 24, 5, (1, 2), (2, 2, 2, 2)),
    (5, 9, 32, 3, (2, 1), (1, 1, 1, 1)),
    (5, 9, 17, 3, 3, (1, 1, 1, 1)),
    (6, 7, 20, 7, 1, (3, 3, 3, 3)),
    (90, 12, 16, 3, 1, (1, 1, 1, 1)),  # more lines than go into one call
]


def attributes(channels, stride, padding, **more):
    strides = [stride] * 2 if isinstance(stride, int) else list(stride)
    return {"strides": strides, "pads": list(padding), "group": channels, **more}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("case", CASES)
def test_sums(case):
    height, width, channels, kernel, stride, padding = case
    x, w, bias = f32(2, height, width, channels), f32(channels, 1, kernel, kernel), f32(channels)
    x[0, 0, 0, 0], x[1, -1, -1, -1], x[0, height // 2, width // 2, channels // 2] = (
        np.inf,
        -np.inf,
        np.nan,
    )
    window = attributes(channels, stride, padding)
    with np.errstate(invalid="ignore"):
        wanted = oracle.conv(x.astype(np.float64), w.astype(np.float64), **window) + bias
        clipped = np.clip(wanted, -1.5, 2.5)
    attrs = {"activation": "clip", "alpha": -1.5, "beta": 2.5}
    (found,) = run("conv", [x, w, bias], window, constants=(1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    (found,) = run("conv", [x, w, bias], window | attrs, constants=(1, 2), threads=2)
    np.testing.assert_allclose(found, clipped, rtol=1e-5, atol=1e-5)
    residual = f32(*found.shape)
    (found,) = run("conv", [x, w, None, residual], window, constants=(1,))
    np.testing.assert_allclose(found, wanted - bias + residual, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(len(FUSED) < 2, reason="one instruction set with a fused multiply-add here")
@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_on_all_sets(case):
    height, width, channels, kernel, stride, padding = case
    x, w = f32(1, height, width, channels), f32(channels, 1, kernel, kernel)
    before, found = pc.isa(), []
    for name in FUSED:
        pc.use_isa(name)
        found += run("conv", [x, w], attributes(channels, stride, padding), constants=(1,))
    pc.use_isa(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].view(np.int32), other.view(np.int32))


def dynamic(y):
    """Return what DynamicQuantizeLinear makes of y: integers, scale and zero point."""
    real = y[~np.isnan(y)]
    low, high = min(real.min(initial=0), np.float32(0)), max(real.max(initial=0), np.float32(0))
    scale = (high - low) / np.float32(255) if high > low else np.float32(1)
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    q = np.rint(y / scale)
    return np.clip(np.where(np.isnan(q), -np.inf, q) + zero, 0, 255).astype(np.uint8), scale, zero


BOUNDS = [(0.0, 1.5), (0.0, 100.0), (0.0, 0.0), (-0.25, 0.5), (0.125, 1.0), "relu", ""]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("case", [CASES[i] for i in (1, 2, 4, 8, 9, 12)])
def test_its_range_and_integers_are_those_of_its_result(case, bounds, keeps):
    height, width, channels, kernel, stride, padding = case
    x, w, bias = f32(2, height, width, channels), f32(channels, 1, kernel, kernel), f32(channels)
    x[1, 0, 0, 0] = np.nan
    attrs = attributes(channels, stride, padding, activation=bounds)
    if isinstance(bounds, tuple):
        attrs |= {"activation": "clip", "alpha": bounds[0], "beta": bounds[1]}
    constants = (1, 2)
    (wanted,) = run("conv", [x, w, bias], attrs, constants=constants)
    q, scale, zero = dynamic(wanted)
    handed = attrs | {"y_dynamic": 1}
    p = program("conv", [x, w, bias], handed, outputs=3 + keeps, constants=constants, threads=2)
    for _ in range(3):  # with a guess, and without
        first, found_scale, found_zero, *rest = p.run([x])
        assert (found_scale, found_zero) == (scale, zero)
        np.testing.assert_array_equal(rest[0] if keeps else first, q)
        if keeps:
            np.testing.assert_array_equal(first, wanted)


# what lies between is 25 x 40 pixels and more: several rings of rows
PAIRS = [(96, 3, 1), (40, 3, 2), (70, 5, 1), (136, 5, 2), (17, 3, 1)]


def pair(first, second, x, *, threads=1, reads_between=False, y_dynamic=False):
    """Run a 1x1 convolution and the depthwise one behind it in one program."""
    p = _core.Program(threads)
    (a, (w, bias), attrs), (v, more) = first, second
    between = p.add(
        "conv", "a", [p.input("x", x.dtype), p.constant(w), p.constant(bias)], 1, a | attrs
    )
    outputs = p.add(
        "conv",
        "b",
        [*between, p.constant(v)],
        3 if y_dynamic else 1,
        more | ({"y_dynamic": 1} if y_dynamic else {}),
    )
    p.finish([*outputs, *(between if reads_between else [])])
    return p, [p.run([x]) for _ in range(2)][1]


def first_layer(kind, channels):
    w, bias = f32(channels, 24, 1, 1), f32(channels)
    if kind == "float":
        return f32(2, 25, 40, 24), (w, bias)
    integers = RNG.integers(-127, 128, w.shape).astype(np.int8)
    x = RNG.integers(0, 256, (2, 25, 40, 24)).astype(np.uint8)
    return (x if kind == "integer" else f32(*x.shape)), (integers, bias)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["float", "integer", "dynamic"])
@pytest.mark.parametrize(("channels", "kernel", "stride"), PAIRS)
def test_an_input_computed_along_the_way(channels, kernel, stride, kind, threads):
    x, weights = first_layer(kind, channels)
    scale = {"w_scale": RNG.uniform(0.001, 0.003, channels).astype(np.float32)}
    a = {
        "float": {},
        "integer": scale | {"x_scale": 0.02, "x_zero": 128},
        "dynamic": scale | {"dynamic": 1},
    }[kind]
    for attrs in ({"activation": "clip", "alpha": 0.0, "beta": 6.0}, {"activation": "hard_swish"}):
        more = attributes(channels, stride, [kernel // 2] * 4)
        more |= {"activation": "clip", "alpha": 0.0, "beta": 1.0}
        layers = (a, weights, attrs), (f32(channels, 1, kernel, kernel), more)
        apart, (wanted, _) = pair(*layers, x, reads_between=True)
        together, (found,) = pair(*layers, x, threads=threads)
        np.testing.assert_array_equal(found, wanted)
        assert (apart.stats()["steps"], together.stats()["steps"]) == (2, 1)
        _, found = pair(*layers, x, threads=threads, y_dynamic=True)
        for mine, right in zip(found, dynamic(wanted), strict=True):
            np.testing.assert_array_equal(mine, right)


def test_it_stays_apart_where_there_is_little_between_or_a_residual_behind():
    small, large = f32(1, 8, 8, 24), f32(1, 30, 30, 24)
    w, bias, v = f32(64, 24, 1, 1), f32(64), f32(64, 1, 3, 3)
    window = attributes(64, 1, [1] * 4)
    p, _ = pair(({}, (w, bias), {}), (v, window), small)
    assert p.stats()["steps"] == 2
    p, _ = pair(({}, (w, bias), {}), (v, window | {"activation": "gelu"}), large)
    assert p.stats()["steps"] == 2
