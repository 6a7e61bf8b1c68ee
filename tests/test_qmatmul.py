"""Products of two integer arrays that both come at run time, bit for bit."""

from itertools import product

import numpy as np
import pytest

import pycompress as pc
from pycompress import _core
from tests import oracle_gemm as oracle
from tests.gemm_cases import assert_only_inside, guarded, integers

TYPES = (np.uint8, np.int8)
PAIRS = list(product(TYPES, TYPES))


def in_columns(b):
    """The same matrix, its columns one after the other in memory."""
    return np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)


def strided(b):
    """The same matrix with neither rows nor columns in one piece."""
    apart = np.full((*b.shape[:-1], 2 * b.shape[-1]), 99, b.dtype)
    apart[..., ::2] = b
    return apart[..., ::2]


LAYOUTS = {"rows": np.ascontiguousarray, "columns": in_columns, "strided": strided}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("a_type", "b_type"), PAIRS)
def test_edges_of_panels_are_exact_and_nothing_else_is_written(isa, a_type, b_type, layout):
    rng = np.random.default_rng(1)
    _, _, kr = _core.gemm_tile(isa)
    for n, k in product((1, 7, 15, 16, 17, 63, 64, 65, 131), (1, kr, kr + 1, 15, 16, 17, 35)):
        a, b = integers(rng, a_type, (3, k)), integers(rng, b_type, (k, n))
        around, out = guarded((3, n), np.int32, 12345)
        zeros = (integers(rng, a_type, 3), integers(rng, b_type, n))
        assert pc.qmatmul(a, LAYOUTS[layout](b), *zeros, out=out) is out
        np.testing.assert_array_equal(out, oracle.qgemm(a, b, *zeros), err_msg=f"{n}x{k}")
        assert_only_inside(around, 12345)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("isa")
def test_values_at_the_ends_do_not_saturate(layout):
    for a_value, b_value, k in product((0, 127, 128, 255), (0, 127, 128, 255), (64, 600)):
        a, b = np.full((7, k), a_value, np.uint8), np.full((k, 66), b_value, np.uint8)
        for left, right in product((a, a.view(np.int8)), (b, b.view(np.int8))):
            got = pc.qmatmul(left, LAYOUTS[layout](right))
            np.testing.assert_array_equal(got, oracle.qgemm(left, right))


def wanted(a, b, a_zero=0, b_zero=0):
    """By the definition of ONNX MatMulInteger, in int64."""
    left = a.astype(np.int64) - np.reshape(a_zero, (-1, 1))
    return left @ (b.astype(np.int64) - b_zero)


BATCHES = (
    ((2, 3), (2, 3)),
    ((2, 3), ()),
    ((), (3,)),
    ((2, 1), (1, 3)),
    ((3,), (2, 1)),
    ((1,), (1, 1)),
    ((0,), (1,)),
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("isa")
def test_leading_dimensions_broadcast(threads):
    rng = np.random.default_rng(2)
    before = pc.get_num_threads()
    pc.set_num_threads(threads)
    try:
        for a_batch, b_batch in BATCHES:
            for m, k, n in ((5, 19, 21), (40, 67, 130)):
                a, b = (
                    integers(rng, np.uint8, (*a_batch, m, k)),
                    integers(rng, np.int8, (*b_batch, k, n)),
                )
                for a_zero in (3, integers(rng, np.uint8, m)):
                    got = pc.qmatmul(a, b, a_zero, -5)
                    assert got.dtype == np.int32
                    np.testing.assert_array_equal(got, wanted(a, b, a_zero, -5))
    finally:
        pc.set_num_threads(before)


@pytest.mark.usefixtures("isa")
def test_a_large_b_is_packed_in_parts_by_several_threads():
    rng = np.random.default_rng(3)
    before = pc.get_num_threads()
    pc.set_num_threads(3)
    try:
        for layout in LAYOUTS.values():
            a, b = integers(rng, np.int8, (9, 515)), integers(rng, np.uint8, (515, 421))
            np.testing.assert_array_equal(pc.qmatmul(a, layout(b), 1, 2), wanted(a, b, 1, 2))
    finally:
        pc.set_num_threads(before)


@pytest.mark.usefixtures("isa")
def test_heads_are_read_where_they_lie():
    """Q . K' and P . V of attention on [batch, rows, heads, depth]."""
    rng = np.random.default_rng(4)
    q, keys, values = (integers(rng, np.int8, (2, 9, 3, 17)).swapaxes(1, 2) for _ in range(3))
    scores = pc.qmatmul(q, keys.swapaxes(-1, -2))
    np.testing.assert_array_equal(scores, wanted(q, keys.swapaxes(-1, -2)))
    p = integers(rng, np.uint8, scores.shape)
    np.testing.assert_array_equal(pc.qmatmul(p, values), wanted(p, values))
    backwards = q[:, ::-1, ::-1]
    np.testing.assert_array_equal(
        pc.qmatmul(backwards, values[:, :, :7].swapaxes(-1, -2)),
        wanted(backwards, values[:, :, :7].swapaxes(-1, -2)),
    )
    rows = np.broadcast_to(q[:, :1], q.shape)  # one matrix for all heads, by strides of 0
    np.testing.assert_array_equal(
        pc.qmatmul(rows, values.swapaxes(-1, -2)), wanted(rows, values.swapaxes(-1, -2))
    )


@pytest.mark.usefixtures("isa")
def test_empty_matrices():
    for m, k, n in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        got = pc.qmatmul(np.ones((2, m, k), np.uint8), np.ones((2, k, n), np.int8), 1, 1)
        np.testing.assert_array_equal(got, np.zeros((2, m, n), np.int32))


def test_a_depth_that_could_leave_int32_is_refused():
    with pytest.raises(ValueError, match=r"depth 40000 .* leave int32"):
        pc.qmatmul(np.ones((1, 40000), np.uint8), np.full((40000, 2), 255, np.uint8))


A, B = np.ones((2, 3, 4), np.uint8), np.ones((2, 4, 5), np.int8)
REFUSED = {
    "a must be an array": (TypeError, lambda: pc.qmatmul([[1]], B)),
    "b has dtype float32, wanted uint8 or int8": (
        TypeError,
        lambda: pc.qmatmul(A, B.astype(np.float32)),
    ),
    r"a has shape \(4,\), wanted \[\.\.\., M, K\]": (ValueError, lambda: pc.qmatmul(A[0, 0], B)),
    r"b has shape .*, wanted .*, 2 to 8 dim": (
        ValueError,
        lambda: pc.qmatmul(A, np.ones((1,) * 9, np.int8)),
    ),
    r"shapes \(2, 3, 4\) and \(2, 3, 5\), wanted": (ValueError, lambda: pc.qmatmul(A, B[:, :3])),
    "leading dimensions do not go together": (
        ValueError,
        lambda: pc.qmatmul(A, np.ones((3, 4, 5), np.int8)),
    ),
    "a of shape .* is not contiguous along its last axis": (
        ValueError,
        lambda: pc.qmatmul(A[..., ::2], B[:, :2]),
    ),
    "a_zero_point is 256": (ValueError, lambda: pc.qmatmul(A, B, 256)),
    "b_zero_point is 128": (ValueError, lambda: pc.qmatmul(A, B, 0, 128)),
    r"b_zero_point has shape \(3,\), wanted .* one for each column of b": (
        ValueError,
        lambda: pc.qmatmul(A, B, 0, np.zeros(3, np.int8)),
    ),
    r"out has shape \(2, 3, 4\), wanted \(2, 3, 5\)": (
        ValueError,
        lambda: pc.qmatmul(A, B, out=np.empty((2, 3, 4), np.int32)),
    ),
    "out has dtype int64, wanted int32": (
        TypeError,
        lambda: pc.qmatmul(A, B, out=np.empty((2, 3, 5), np.int64)),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_named(message):
    error, call = REFUSED[message]
    with pytest.raises(error, match=message):
        call()


def test_a_result_in_the_memory_of_an_input_is_refused():
    memory = np.zeros(400, np.uint8)
    out = memory.view(np.int32)[:12].reshape(3, 4)
    b = np.ones((5, 4), np.int8)
    with pytest.raises(ValueError, match="out shares memory with an input"):
        pc.qmatmul(memory[40:55].reshape(3, 5), b, out=out)
    got = pc.qmatmul(memory[48:63].reshape(3, 5), b, out=out)
    np.testing.assert_array_equal(got, np.zeros((3, 4)))
