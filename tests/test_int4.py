"""Products with 4-bit weights: every instruction set, block and edge, bit for bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pycompress as pc
from pycompress import _core
from tests import oracle_int4 as oracle
from tests.gemm_cases import assert_only_inside, edges, guarded

ISAS = pc.available_isas()
BLOCKS = (32, 64, 128)


def weights(rng, k, n, block, zeros=False):
    """Random bytes, their two ends more often than their share, and scales of both signs."""
    blocks = -(-k // block)
    data = rng.integers(0, 256, (n, blocks, block // 2), dtype=np.uint8)
    ends = rng.random(data.shape)
    data[ends < 0.1] = 0
    data[ends > 0.9] = 255
    scale = rng.uniform(-0.2, 0.2, (n, blocks)).astype(np.float32)
    zero_point = rng.integers(0, 16, (n, blocks), dtype=np.uint8) if zeros else None
    return pc.Int4Weights(data, scale, zero_point, (k, n), block)


def activations(rng, m, k):
    a = rng.standard_normal((m, k)).astype(np.float32)
    a[rng.random((m, k)) < 0.05] *= 20
    return a


def wanted(a, w, bias=None):
    return oracle.gemm(a, w.data, w.scale, w.zero_point, bias)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_tile_edges_are_exact_and_nothing_else_is_written(isa, block, zeros):
    rng = np.random.default_rng(1)
    mr, nr = _core.int4_tile(isa)
    for m, n, k in product(edges(mr), edges(nr), (1, block - 1, block, block + 1, 3 * block + 7)):
        a, w = activations(rng, m, k), weights(rng, k, n, block, zeros)
        around, out = guarded((m, n), np.float32, 99)
        assert pc.gemm_int4(a, pc.pack_int4(w), out=out) is out
        np.testing.assert_array_equal(out, wanted(a, w), err_msg=f"{m}x{n}x{k}")
        assert_only_inside(around, 99)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("q", "zero"), list(product((0x00, 0xFF, 0x0F, 0xF0), (None, 0, 15))))
@pytest.mark.usefixtures("isa")
def test_no_path_saturates(q, zero, block):
    for sign in (1, -1):
        a = np.full((7, 2 * block), sign * 127, np.float32)
        data = np.full((70, 2, block // 2), q, np.uint8)
        zero_point = None if zero is None else np.full((70, 2), zero, np.uint8)
        w = pc.Int4Weights(data, np.ones((70, 2), np.float32), zero_point, (2 * block, 70), block)
        got = pc.gemm_int4(a, pc.pack_int4(w))
        np.testing.assert_array_equal(got, wanted(a, w))
        low, high = (
            (q & 15) - (8 if zero is None else zero),
            (q >> 4) - (8 if zero is None else zero),
        )
        assert (got == sign * 127 * block * (low + high)).all()


@pytest.mark.usefixtures("isa")
def test_bias_and_rows_that_lie_apart():
    rng = np.random.default_rng(2)
    base = activations(rng, 12, 150)
    w = weights(rng, 100, 37, 32)
    bias = rng.standard_normal(37).astype(np.float32)
    packed = pc.pack_int4(w, bias=bias)
    for a in (base[::2, 3:103], base[::-1, :100], np.broadcast_to(base[4, :100], (9, 100))):
        np.testing.assert_array_equal(pc.gemm_int4(a, packed), wanted(a, w, bias))
    deep = np.ascontiguousarray(base[:, :100]).reshape(2, 3, 2, 100)
    got = pc.gemm_int4(deep, packed)
    assert got.shape == (2, 3, 2, 37)
    np.testing.assert_array_equal(got.reshape(-1, 37), wanted(deep.reshape(-1, 100), w, bias))
    np.testing.assert_array_equal(pc.gemm_int4(deep[0, 0, 0], packed), got[0, 0, 0])


@pytest.mark.usefixtures("isa")
def test_special_values_of_a():
    k, n = 128, 5
    tiny, huge = np.float32(2.0**-119), np.finfo(np.float32).max
    rows = np.zeros((8, k), np.float32)
    rows[1, 40], rows[2, 70], rows[3, 0] = np.nan, np.inf, -np.inf
    rows[4, 5] = np.nextafter(tiny, np.float32(0))  # too small to be seen
    rows[5, 5], rows[5, 6] = tiny, -tiny / 2
    rows[6, 127], rows[6, 126] = huge / 4, -huge / 4
    rows[7] = np.linspace(-127, 127, k).round() + 0.5  # ties
    rows[7, 31::32] = 127
    w = weights(np.random.default_rng(3), k, n, 32)
    got = pc.gemm_int4(rows, pc.pack_int4(w))
    np.testing.assert_array_equal(got, wanted(rows, w))
    assert np.isnan(got[1:4]).all()
    assert (got[[0, 4]] == 0).all()
    assert np.isfinite(got[5:]).all()
    assert (got[5:] != 0).any(axis=1).all()


@pytest.mark.usefixtures("isa")
def test_empty_products():
    for m, k, n in ((0, 40, 3), (3, 40, 0), (3, 0, 4)):
        packed = pc.pack_int4(np.ones((k, n), np.float32))
        got = pc.gemm_int4(np.ones((m, k), np.float32), packed)
        np.testing.assert_array_equal(got, np.zeros((m, n), np.float32))


@pytest.mark.parametrize("shape", [(1, 700, 900), (37, 300, 129), (700, 65, 160)])
def test_every_thread_count_and_instruction_set_gives_the_same_bytes(shape):
    m, n, k = shape
    rng = np.random.default_rng(4)
    a, w = activations(rng, m, k), weights(rng, k, n, 32, zeros=True)
    before = pc.isa(), pc.get_num_threads()
    results = set()
    try:
        for name, threads in product(ISAS, (1, 2, 3, 5)):
            pc.use_isa(name)
            pc.set_num_threads(threads)
            got = pc.gemm_int4(a, pc.pack_int4(w))
            results.add(got.tobytes())
    finally:
        pc.use_isa(before[0])
        pc.set_num_threads(before[1])
    assert len(results) == 1
    np.testing.assert_array_equal(got, wanted(a, w))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape(data):
    m, n, k = (data.draw(st.integers(1, limit)) for limit in (15, 90, 300))
    block, zeros = data.draw(st.sampled_from(BLOCKS)), data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, w = activations(rng, m, k), weights(rng, k, n, block, zeros)
    right = wanted(a, w)
    for name in ISAS:
        packed = _core.pack_int4(w.data, w.scale, w.zero_point, k, n, block, None, name)
        assert packed.isa == name
        np.testing.assert_array_equal(pc.gemm_int4(a, packed), right)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_quantized_weights_are_near(block, symmetric):
    rng = np.random.default_rng(5)
    w = rng.standard_normal((300, 41)).astype(np.float32)
    w[:block, 3] = 0
    w[:block, 4] = np.abs(w[:block, 4]) + 1
    q = pc.quantize_int4(w, block, symmetric=symmetric)
    assert (q.zero_point is None) == symmetric
    blocks = -(-300 // block)
    assert q.data.shape == (41, blocks, block // 2)
    assert q.nbytes == q.data.nbytes + q.scale.nbytes + (0 if symmetric else (41 * blocks + 1) // 2)
    back = q.dequantize()
    assert back.shape == w.shape
    step = np.abs(np.repeat(q.scale.T, block, axis=0)[:300])
    # Symmetric: +8 steps saturate to +7, a whole step; else half a step, and that of the zero point.
    assert (np.abs(back - w) <= step * 1.0001).all()
    assert (back[:block, 3] == 0).all()
    values = oracle.unpack(q.data, 300)
    zero = np.int64(8) if symmetric else np.repeat(q.zero_point, block, axis=1)
    np.testing.assert_array_equal(values[:, 300:], np.broadcast_to(zero, values.shape)[:, 300:])
    if symmetric:  # the largest of each block is held exactly
        parts = values[:, : 300 // block * block].reshape(41, -1, block)
        used = np.delete(parts, 3, axis=0)
        assert (used.min(axis=2) == 0).all()


def test_quantizing_keeps_what_4_bits_hold():
    q = np.random.default_rng(6).integers(-8, 8, (64, 9)).astype(np.float32)
    q[::32] = -8
    for w in (q * 0.25, np.asfortranarray(q * 0.25), -q * 0.25):
        np.testing.assert_array_equal(pc.quantize_int4(w).dequantize(), w)
    spread = q - 3.0
    spread[1::32] = 4
    np.testing.assert_allclose(
        pc.quantize_int4(spread, symmetric=False).dequantize(), spread, atol=1e-6
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_quantizing_the_ends_of_float32(symmetric):
    huge, tiny = np.finfo(np.float32).max / 2, np.float32(1e-45)
    w = np.array([[huge, tiny, 0, -huge], [-huge, 0, 0, 0]], np.float32)
    q = pc.quantize_int4(w, symmetric=symmetric)
    assert np.isfinite(q.scale).all()
    assert (q.scale != 0).all()
    step = np.abs(q.scale[:, 0])
    assert (np.abs(q.dequantize() / 2 - w / 2) <= step * 0.501).all()


@pytest.mark.usefixtures("isa")
def test_products_are_near_the_real_ones():
    rng = np.random.default_rng(7)
    w = rng.standard_normal((512, 80)).astype(np.float32)
    a = rng.standard_normal((5, 512)).astype(np.float32)
    q = pc.quantize_int4(w)
    got = pc.gemm_int4(a, pc.pack_int4(w))
    exact = a.astype(np.float64) @ q.dequantize()
    # Half a step of a, 1/254 of the largest of its block, against each weight.
    top = np.abs(a).reshape(5, 16, 32).max(axis=2) / 254
    bound = top @ np.abs(q.dequantize()).reshape(16, 32, 80).sum(axis=1) * 1.001
    assert (np.abs(got - exact) <= bound).all()
    assert np.linalg.norm(got - a @ w) / np.linalg.norm(a @ w) < 0.12


REFUSED = [
    (lambda: pc.quantize_int4(np.ones((4, 4))), TypeError, "w has dtype float64, wanted float32"),
    (
        lambda: pc.quantize_int4(np.ones(4, np.float32)),
        ValueError,
        r"shape \(4,\), wanted \[K, N\]",
    ),
    (lambda: pc.pack_int4(np.ones((4, 4), np.float32), 16), ValueError, "block is 16, wanted 32"),
    (
        lambda: pc.quantize_int4(np.array([[1, 2], [3, np.nan]], np.float32)),
        ValueError,
        "NaN or infinite values in column 1",
    ),
    (
        lambda: pc.pack_int4(np.ones((4, 4), np.float32), bias=np.ones(3)),
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


def product_of(a, out=None):
    return pc.gemm_int4(a, pc.pack_int4(np.ones((4, 3), np.float32)), out)


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"data": np.zeros((3, 1, 8), np.uint8)},
            r"data has shape \(3, 1, 8\), wanted \(3, 1, 16\)",
        ),
        ({"scale": np.ones((3, 2), np.float32)}, r"scale has shape \(3, 2\), wanted \(3, 1\)"),
        ({"zero_point": np.full((3, 1), 16, np.uint8)}, "zero_point has 16, wanted 0 to 15"),
    ],
)
def test_weights_that_do_not_fit(change, message):
    whole = {
        "data": np.zeros((3, 1, 16), np.uint8),
        "scale": np.ones((3, 1), np.float32),
        "zero_point": None,
        "shape": (4, 3),
        "block": 32,
    }
    with pytest.raises(ValueError, match=message):
        pc.pack_int4(pc.Int4Weights(**(whole | change)))
