"""Products by way of bfloat16: every instruction set against sums in float64."""

from itertools import product

import numpy as np
import pytest

import pycompress as pc
from pycompress import _core
from tests.gemm_cases import assert_only_inside, edges, guarded
from tests.oracle_bf16 import rounded


def wanted(a, w, bias=0.0):
    """The sums, and how far float32 may be off them."""
    a, w = rounded(a).astype(np.float64), rounded(w).astype(np.float64)
    bound = (a.shape[-1] + 3) * 2.0**-23 * (np.abs(a) @ np.abs(w) + np.abs(bias)) + 1e-30
    return a @ w + bias, bound


def assert_near(got, a, w, bias=0.0):
    right, bound = wanted(a, w, bias)
    assert (np.abs(got - right) <= bound).all()


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def test_tile_edges_and_nothing_else_is_written(isa):
    rng = np.random.default_rng(1)
    mr, nr, kr = _core.bf16_tile(isa)
    rows = [*edges(mr), 8, 16, 41]
    for m, n, k in product(rows, [*edges(nr), 4 * nr + 1], (1, kr, kr + 1, 33, 70)):
        a, w, bias = normal(rng, m, k), normal(rng, k, n), normal(rng, n)
        around, out = guarded((m, n), np.float32, 99)
        assert pc.gemm_bf16(a, pc.pack_bf16(w, bias), out=out) is out
        assert_near(out, a, w, bias)
        assert_only_inside(around, 99)


@pytest.mark.usefixtures("isa")
def test_rounding_is_half_to_even():
    values = np.array(
        [0, -0.0, 1, -1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 255.5, 257, 3e38,
         np.finfo(np.float32).max, -np.finfo(np.float32).max, np.finfo(np.float32).tiny, np.inf,
         -np.inf, np.nan, np.pi, 1e-30],
        np.float32,
    )  # fmt: skip
    random = np.random.default_rng(2).integers(0, 2**32, 5000, dtype=np.uint32).view(np.float32)
    random = random[~(np.abs(random) < np.finfo(np.float32).tiny)]
    column = np.concatenate([values, random]).reshape(-1, 1)
    with np.errstate(invalid="ignore"):  # signalling NaN among the random ones
        right = rounded(column)
    np.testing.assert_array_equal(
        pc.gemm_bf16(column, pc.pack_bf16(np.ones((1, 1), np.float32))), right
    )
    row = np.ascontiguousarray(column.T)
    np.testing.assert_array_equal(
        pc.gemm_bf16(np.ones((1, 1), np.float32), pc.pack_bf16(row)), right.T
    )


@pytest.mark.usefixtures("isa")
def test_products_of_small_integers_are_exact():
    rng = np.random.default_rng(3)
    a = rng.integers(-128, 129, (37, 250)).astype(np.float32)
    w = rng.integers(-128, 129, (250, 71)).astype(np.float32)
    np.testing.assert_array_equal(pc.gemm_bf16(a, pc.pack_bf16(w)), a @ w)


@pytest.mark.usefixtures("isa")
def test_nan_and_infinity_stay():
    a = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [1, 2]], np.float32)
    got = pc.gemm_bf16(a, pc.pack_bf16(np.ones((2, 3), np.float32)))
    right = np.array([[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [3] * 3], np.float32)
    np.testing.assert_array_equal(got, right)


@pytest.mark.usefixtures("isa")
def test_arrays_of_other_strides_and_ranks():
    rng = np.random.default_rng(4)
    base, w = normal(rng, 12, 150), normal(rng, 200, 60)
    for a in (base[::2, 3:103], base[::-1, :100], np.broadcast_to(base[4, :100], (9, 100))):
        for view in (w[:100, ::2], w[::-1][:100], w.T[::2].T[::2]):
            assert_near(pc.gemm_bf16(a, pc.pack_bf16(view)), a, view)
    deep = np.ascontiguousarray(base[:, :100]).reshape(2, 3, 2, 100)
    packed = pc.pack_bf16(w[:100])
    got = pc.gemm_bf16(deep, packed)
    assert got.shape == (2, 3, 2, 60)
    assert_near(got.reshape(-1, 60), deep.reshape(-1, 100), w[:100])
    assert pc.gemm_bf16(deep[0, 0, 0], packed).shape == (60,)


@pytest.mark.usefixtures("isa")
def test_empty_products():
    for m, k, n in ((0, 40, 3), (3, 40, 0), (3, 0, 4)):
        packed = pc.pack_bf16(np.ones((k, n), np.float32))
        got = pc.gemm_bf16(np.ones((m, k), np.float32), packed)
        np.testing.assert_array_equal(got, np.zeros((m, n), np.float32))


@pytest.mark.parametrize("shape", [(1, 900, 1300), (37, 300, 700), (700, 65, 160), (129, 515, 300)])
@pytest.mark.usefixtures("isa")
def test_every_thread_count_gives_the_same_bytes(shape):
    m, n, k = shape
    rng = np.random.default_rng(5)
    a, w = normal(rng, m, k), normal(rng, k, n)
    packed = pc.pack_bf16(w)
    before = pc.get_num_threads()
    results = set()
    try:
        for threads in (1, 2, 3, 5):
            pc.set_num_threads(threads)
            got = pc.gemm_bf16(a, packed)
            results.add(got.tobytes())
    finally:
        pc.set_num_threads(before)
    assert len(results) == 1
    assert_near(got, a, w)


def test_what_runs_has_a_name(isa):
    name = pc.bf16_isa()
    assert name == pc.pack_bf16(np.ones((2, 2), np.float32)).isa
    if isa == "avx512_vnni":
        assert name in {"avx512_bf16", "float32 on avx512"}
    else:
        # The sets of AArch64 share these kernels, and so do those on ymm registers.
        kernel = {"neon_dotprod": "neon", "neon_i8mm": "neon", "avx_vnni": "avx2"}.get(isa, isa)
        assert name == f"float32 on {kernel}"


def product_of(a, out=None):
    return pc.gemm_bf16(a, pc.pack_bf16(np.ones((4, 3), np.float32)), out)


REFUSED = [
    (lambda: pc.pack_bf16(np.ones((4, 4))), TypeError, "w has dtype float64, wanted float32"),
    (lambda: pc.pack_bf16(np.ones(4, np.float32)), ValueError, r"shape \(4,\), wanted \[K, N\]"),
    (
        lambda: pc.pack_bf16(np.ones((4, 4), np.float32), bias=np.ones(3)),
        ValueError,
        r"bias has shape \(3,\), wanted \(\) or \(4,\)",
    ),
    (lambda: product_of(np.ones((2, 4))), TypeError, "a has dtype float64, wanted float32"),
    (lambda: product_of(np.ones((2, 5), np.float32)), ValueError, r"\(2, 5\), wanted \[..., 4\]"),
    (
        lambda: product_of(np.ones((4, 2), np.float32).T),
        ValueError,
        "not contiguous along its last axis",
    ),
    (
        lambda: product_of(np.ones((2, 4), np.float32), np.ones((2, 4), np.float32)),
        ValueError,
        r"out has shape \(2, 4\), wanted \(2, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
