"""The pointwise kernels: floats to a tolerance of float64, integers bit for bit."""

import numpy as np
import pytest

from pycompress import _core as pointwise
from tests import oracle_quantize as oracle

pytestmark = pytest.mark.usefixtures("isa")

SPECIAL = np.array(
    [
        0,
        -0.0,
        np.nan,
        np.inf,
        -np.inf,
        1e-45,
        -1e-45,
        1e-38,
        -1e-38,
        3.4e38,
        -3.4e38,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        1,
        -1,
        8388607.5,
        2147483648,
        -2147483904,
        88.7,
        88.73,
        -87.4,
        -103.9,
        -104.1,
        13,
        -13,
        14.5,
        1.0000001,
        0.9999999,
        0.70710677,
        1.4142135,
    ],
    np.float32,
)
LENGTHS = [*range(70), 500]


def values():
    rng = np.random.default_rng(0)
    wide = np.exp(rng.uniform(-90, 88, 4000)) * rng.choice([-1, 1], 4000)
    near = rng.uniform(-16, 16, 8000)
    return np.concatenate([SPECIAL, wide, near, np.linspace(-110, 110, 3001)]).astype(np.float32)


def close(found, expected, rtol=3e-6):
    """Within rtol, or a step of the smallest floats; infinities and NaN in the same places."""
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=3e-38)


@pytest.mark.parametrize("op", oracle.UNARY)
def test_unary_over_the_whole_range(op):
    x = values()
    alpha, beta = {"clip": (-1.5, 6.0), "hard_sigmoid": (0.2, 0.5)}.get(op, (0.3, 0.0))
    found = pointwise.unary(op, x, alpha, beta)
    # x^2 / 2 of the tails is a float32: its last bit is worth 5e-6 of exp(-x^2 / 2) at its smallest
    rtol = 1e-5 if op in ("gelu_tanh", "silu") else 3e-6
    expected = oracle.unary(op, x, alpha, beta)
    # A power below the smallest normal number may be 0, and so what x multiplies by it.
    with np.errstate(over="ignore", invalid="ignore"):
        step = 1e-38 * np.maximum(10, np.abs(x.astype(np.float64)))
        tiny = np.abs(expected) < step
    assert (np.abs(found[tiny] - expected[tiny]) <= step[tiny]).all()
    if op == "gelu":  # to the last places of x, where the function itself is next to 0
        ends = ~np.isfinite(expected)
        np.testing.assert_array_equal(found[ends], expected[ends])
        off = np.abs(found[~ends] - expected[~ends])
        assert (off <= 4e-7 * np.abs(x[~ends]) + 1e-44).all()
    elif op in ("hard_sigmoid", "hard_swish"):
        np.testing.assert_allclose(found, expected.astype(np.float32), rtol=3e-6, atol=1e-6)
    else:
        close(found[~tiny], expected[~tiny], rtol)


@pytest.mark.parametrize("op", oracle.UNARY)
def test_unary_does_not_depend_on_the_place(op):
    """The tail of an array is computed by other code than its middle, to the same bits."""
    x = values()
    whole = pointwise.unary(op, x, 0.25, 0.75)
    for n in LENGTHS:
        guarded = np.full(n + 64, 99, np.float32)
        pointwise.unary(op, x[:n], 0.25, 0.75, guarded[32 : 32 + n])
        np.testing.assert_array_equal(guarded[32 : 32 + n], whole[:n])
        assert (np.delete(guarded, np.s_[32 : 32 + n]) == 99).all()


def test_unary_in_place():
    x = values()
    expected = pointwise.unary("exp", x)
    pointwise.unary("exp", x, out=x)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("op", oracle.BINARY)
def test_binary(op):
    rng = np.random.default_rng(1)
    pairs = np.stack(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1)
    a, b = np.concatenate([pairs, rng.normal(0, 3, (2, 500)).astype(np.float32)], axis=1)
    for n in (*range(40), a.size):
        with np.errstate(all="ignore"):
            expected = oracle.BINARY[op](a[:n], b[:n])
        np.testing.assert_allclose(pointwise.binary(op, a[:n], b[:n]), expected, rtol=1e-6)
    for one in np.array([0, 1, 2, 3, -1, 0.5, -2.5, np.nan, np.inf], np.float32):
        with np.errstate(all="ignore"):
            # for one exponent of 0.5 alone NumPy takes a root, which differs from pow at -inf
            many = np.full_like(a, one)
            right, left = oracle.BINARY[op](a, many), oracle.BINARY[op](many, a)
        np.testing.assert_allclose(pointwise.binary(op, a, np.array(one)), right, rtol=1e-6)
        np.testing.assert_allclose(pointwise.binary(op, np.array(one), a), left, rtol=1e-6)


@pytest.mark.parametrize("op", oracle.REDUCE)
def test_reduce(op):
    x = np.random.default_rng(2).normal(1, 3, 200_000).astype(np.float32)
    for n in (*LENGTHS, x.size):
        expected = oracle.REDUCE[op](x[:n].astype(np.float64))
        assert pointwise.reduce(op, x[:n]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("op", oracle.REDUCE)
@pytest.mark.parametrize("place", [0, 15, 63, 64, 70, 98])
def test_reduce_keeps_nan(op, place):
    x = np.ones(99, np.float32)
    x[place] = np.nan
    assert np.isnan(pointwise.reduce(op, x))


@pytest.mark.parametrize("op", oracle.REDUCE)
def test_reduce_rows(op):
    rows = np.random.default_rng(3).normal(0, 3, (5, 500)).astype(np.float32)
    rows[2, 7] = np.nan
    start = {"max": -np.inf, "min": np.inf}.get(op, 0)
    for n in LENGTHS:
        acc = np.full(n, start, np.float32)
        for row in rows:
            pointwise.reduce_rows(op, row[:n], acc)
        with np.errstate(invalid="ignore"):
            expected = [oracle.REDUCE[op](c) for c in rows[:, :n].T.astype(np.float64)]
        np.testing.assert_allclose(acc, np.array(expected, np.float32), rtol=1e-5, atol=1e-6)


ROWS = [*range(1, 70), 112, 120, 128, 129]  # a row of few vectors stays in registers: both sides


@pytest.mark.parametrize("n", [*ROWS, 1000, 30000])
def test_softmax(n):
    x = np.random.default_rng(4).normal(0, 8, (3, n)).astype(np.float32)
    x[1] += 1e4
    x[2, :: n // 2 + 1] = -np.inf if n > 1 else 0
    x[2, -1] = 1
    guarded = np.full((5, n), 99, np.float32)
    found = pointwise.softmax(x, out=guarded[1:4])
    np.testing.assert_allclose(found, oracle.softmax(x), rtol=1e-5, atol=1e-37)
    assert (guarded[[0, 4]] == 99).all()
    np.testing.assert_array_equal(pointwise.softmax(x, out=x), found)


def test_softmax_of_what_has_none():
    x = np.zeros((3, 20), np.float32)
    x[0] = -np.inf
    x[1, 3] = np.nan
    x[2, 3] = np.inf
    assert np.isnan(pointwise.softmax(x)[:2]).all()
    assert np.isnan(pointwise.softmax(x)[2, 3])


def test_softmax_gives_nothing_to_what_is_masked():
    for n in (5, 64, 300):
        x = np.zeros((2, n), np.float32)
        x[0, 1:], x[1, 1:] = -np.inf, -1e4
        np.testing.assert_array_equal(pointwise.softmax(x), np.eye(1, n, dtype=np.float32)[[0, 0]])


@pytest.mark.parametrize("n", [*ROWS, 384, 10000])
@pytest.mark.parametrize("offset", [0, 1000])
def test_layer_norm(n, offset):
    rng = np.random.default_rng(5)
    x = (rng.normal(0, 2, (3, n)) + offset).astype(np.float32)
    gamma, beta = rng.normal(0, 1, (2, n)).astype(np.float32)
    for g, b in ((gamma, beta), (gamma, None), (None, None)):
        guarded = np.full((5, n), 99, np.float32)
        found = pointwise.layer_norm(x, g, b, 1e-5, out=guarded[1:4])
        assert (guarded[[0, 4]] == 99).all()
        np.testing.assert_allclose(found, oracle.layer_norm(x, g, b, 1e-5), rtol=1e-4, atol=2e-4)


def test_table():
    rng = np.random.default_rng(6)
    table = rng.integers(0, 256, 256).astype(np.uint8)
    x = np.concatenate([np.arange(256), rng.integers(0, 256, 700)]).astype(np.uint8)
    for n in (*range(140), x.size):
        guarded = np.full(n + 64, 99, np.uint8)
        pointwise.table(x[:n], table, guarded[32 : 32 + n])
        np.testing.assert_array_equal(guarded[32 : 32 + n], table[x[:n]])
        assert (np.delete(guarded, np.s_[32 : 32 + n]) == 99).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    "scales", [(0.5, 0.5), (0.37, 1.91), (1e-3, 2e-3), (1e6, 3.0), (0.25, 0.0)]
)
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0, 6.4), (-3.5, 40)])
def test_add_q8(dtype, scales, bounds):
    lo, hi = oracle.LIMITS[dtype]
    every = np.arange(lo, hi + 1).astype(dtype)
    a, b = (v.reshape(-1) for v in np.meshgrid(every, every))
    for zeros in ((lo, hi, 0), (3, 5, 100), (hi, lo, lo)):
        expected = oracle.add_q8(a, b, *scales, *zeros, *bounds)
        for n in (*range(0, 140, 3), a.size):
            found = pointwise.add_q8(a[:n], b[:n], *scales, *zeros, *bounds)
            np.testing.assert_array_equal(found, expected[:n])


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_max_and_sum_of_bytes(dtype):
    lo, hi = oracle.LIMITS[dtype]
    rows = np.random.default_rng(7).integers(lo, hi + 1, (6, 300)).astype(dtype)
    for n in (*range(140), 300):
        best = np.full(n, lo, dtype)
        total = np.zeros(n, np.int32)
        for row in rows:
            pointwise.max_q8(row[:n], best)
            pointwise.sum_q8(row[:n], total)
        np.testing.assert_array_equal(best, rows[:, :n].max(axis=0))
        np.testing.assert_array_equal(total, rows[:, :n].sum(axis=0, dtype=np.int32))


def test_refusals():
    x = np.ones(4, np.float32)
    with pytest.raises(ValueError, match="op is 'xor', wanted one of add, sub"):
        pointwise.binary("xor", x, x)
    with pytest.raises(ValueError, match=r"b has shape \(3,\), wanted \(4,\)"):
        pointwise.binary("add", x, x[:3])
    with pytest.raises(ValueError, match="shares memory with x"):
        pointwise.unary("exp", x[:3], out=x[1:])
    with pytest.raises(TypeError, match="a has dtype float32, wanted uint8 or int8"):
        pointwise.add_q8(x, x, 1, 1, 0, 0, 0, 0, 1)
