"""Integer products: every instruction set, sign pair, zero point and epilogue, bit for bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pycompress as pc
from pycompress import _core
from tests import oracle_gemm as oracle
from tests.gemm_cases import assert_only_inside, guarded, integers, sizes

TYPES = (np.uint8, np.int8)
PAIRS = list(product(TYPES, TYPES))
ISAS = pc.available_isas()


@pytest.mark.parametrize(("a_type", "w_type"), PAIRS)
def test_tile_edges_are_exact_and_nothing_else_is_written(isa, a_type, w_type):
    rng = np.random.default_rng(1)
    for m, n, k in product(*sizes(isa)):
        a = integers(rng, a_type, (m, k))
        w = integers(rng, w_type, (k, n))
        around, out = guarded((m, n), np.int32, 12345)
        assert pc.qgemm(a, pc.pack(w), out=out) is out
        np.testing.assert_array_equal(out, oracle.qgemm(a, w), err_msg=f"{m}x{n}x{k}")
        assert_only_inside(around, 12345)


@pytest.mark.parametrize(("a_type", "w_type"), PAIRS)
def test_zero_points_of_either_side(isa, a_type, w_type):
    rng = np.random.default_rng(2)
    mr, nr, _ = _core.gemm_tile(isa)
    m, n, k = mr + 1, nr + 1, 37
    a = integers(rng, a_type, (m, k))
    w = integers(rng, w_type, (k, n))
    a_ends = (np.iinfo(a_type).min, np.iinfo(a_type).max)
    w_ends = (np.iinfo(w_type).min, np.iinfo(w_type).max)
    for a_zero in (*a_ends, 0, 3, integers(rng, a_type, m)):
        for w_zero in (*w_ends, 0, 5, integers(rng, w_type, n)):
            got = pc.qgemm(a, pc.pack(w, zero_point=w_zero), a_zero)
            np.testing.assert_array_equal(got, oracle.qgemm(a, w, a_zero, w_zero))


@pytest.mark.parametrize(
    ("a_value", "w_value"), list(product((0, 127, 128, 255), (-128, -127, 127)))
)
@pytest.mark.usefixtures("isa")
def test_no_path_saturates(a_value, w_value):
    a = np.full((7, 256), a_value, np.uint8)
    w = np.full((256, 65), w_value, np.int8)
    for rows in (a, a.view(np.int8)):
        np.testing.assert_array_equal(pc.qgemm(rows, pc.pack(w)), oracle.qgemm(rows, w))


@pytest.mark.usefixtures("isa")
def test_depth_up_to_the_bound_is_exact_and_beyond_is_refused():
    w = np.full((66311, 1), -127, np.int8)
    a = np.full((1, 66311), 255, np.uint8)
    np.testing.assert_array_equal(pc.qgemm(a, pc.pack(w)), [[-127 * 255 * 66311]])
    with pytest.raises(ValueError, match=r"depth 66312 .* leave int32"):
        pc.pack(np.full((66312, 1), -127, np.int8))
    with pytest.raises(ValueError, match=r"depth 40000 .* leave int32"):
        pc.pack(np.full((40000, 2), 255, np.uint8))


@pytest.mark.parametrize("strides", ["rows apart", "reversed rows", "one row repeated"])
@pytest.mark.usefixtures("isa")
def test_rows_of_a_may_lie_apart(strides):
    rng = np.random.default_rng(3)
    base = integers(rng, np.uint8, (20, 50))
    a = {
        "rows apart": base[::2, 3:30],
        "reversed rows": base[::-1, :27],
        "one row repeated": np.broadcast_to(base[4, :27], (9, 27)),
    }[strides]
    w = integers(rng, np.int8, (27, 33))
    np.testing.assert_array_equal(pc.qgemm(a, pc.pack(w)), oracle.qgemm(a, w))


@pytest.mark.usefixtures("isa")
def test_weights_of_any_strides():
    rng = np.random.default_rng(4)
    w = integers(rng, np.int8, (80, 60))
    a = integers(rng, np.int8, (5, 30))
    for view in (w[:30, ::2], w[::-1][:30], w.T[::2], w[10:40, 7:40]):
        np.testing.assert_array_equal(pc.qgemm(a, pc.pack(view)), oracle.qgemm(a, view))


@pytest.mark.usefixtures("isa")
def test_empty_products():
    for m, n, k in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        a, w = np.ones((m, k), np.uint8), np.ones((k, n), np.int8)
        np.testing.assert_array_equal(pc.qgemm(a, pc.pack(w)), np.zeros((m, n), np.int32))


@pytest.mark.usefixtures("isa")
def test_leading_axes_are_rows():
    rng = np.random.default_rng(5)
    a = integers(rng, np.uint8, (2, 3, 4, 19))
    w = integers(rng, np.int8, (19, 21))
    got = pc.qgemm(a, pc.pack(w))
    assert got.shape == (2, 3, 4, 21)
    np.testing.assert_array_equal(got.reshape(-1, 21), oracle.qgemm(a.reshape(-1, 19), w))
    np.testing.assert_array_equal(pc.qgemm(a[0, 0, 0], pc.pack(w)), got[0, 0, 0])


OUTPUTS = (None, np.uint8, np.int8)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("a_type", "w_type"), PAIRS)
def test_epilogues(isa, a_type, w_type, output):
    rng = np.random.default_rng(6)
    mr, nr, _ = _core.gemm_tile(isa)
    for m, n in product((1, mr, mr + 1), (1, nr - 1, nr + 9)):
        k = 21
        a, w = integers(rng, a_type, (m, k)), integers(rng, w_type, (k, n))
        scale = rng.uniform(0.001, 0.02, n).astype(np.float32)
        bias = rng.standard_normal(n).astype(np.float32)
        y = (
            {}
            if output is None
            else {
                "y_scale": 0.37,
                "y_zero_point": int(rng.integers(np.iinfo(output).min, np.iinfo(output).max + 1)),
                "y_dtype": np.dtype(output).name,
            }
        )
        y_oracle = (
            {}
            if output is None
            else {"y_scale": 0.37, "y_zero": y["y_zero_point"], "y_dtype": output}
        )
        if output is None:
            residual = rng.standard_normal((m, n)).astype(np.float32)
            extra = ({"residual": residual}, {"residual": residual})
        else:
            residual = integers(rng, output, (m, n))
            extra = (
                {"residual": residual, "residual_scale": 0.21, "residual_zero_point": 7},
                {"residual": residual, "residual_scale": 0.21, "residual_zero": 7},
            )
        for a_scale, a_zero, w_zero, with_bias, with_extra, (name, low, high) in (
            (0.02, 0, 0, False, False, (None, -np.inf, np.inf)),
            (0.02, 3, 0, True, False, ("relu", 0, np.inf)),
            (0.02, 0, 5, True, True, (("clip", -1.5, 2.25), -1.5, 2.25)),
            (
                rng.uniform(0.01, 0.03, m).astype(np.float32),
                integers(rng, a_type, m),
                integers(rng, w_type, n),
                True,
                True,
                ("relu", 0, np.inf),
            ),
        ):
            packed = pc.pack(w, scale, bias if with_bias else None, w_zero)
            around, out = guarded((m, n), output or np.float32, 99)
            pc.qlinear(
                a,
                packed,
                a_scale=a_scale,
                a_zero_point=a_zero,
                activation=name,
                out=out,
                **y,
                **(extra[0] if with_extra else {}),
            )
            wanted = oracle.qlinear(
                a,
                w,
                scale,
                a_scale,
                a_zero,
                w_zero,
                bias if with_bias else None,
                low=low,
                high=high,
                **y_oracle,
                **(extra[1] if with_extra else {}),
            )
            np.testing.assert_array_equal(out, wanted)
            assert_only_inside(around, 99)


@pytest.mark.usefixtures("isa")
def test_ties_round_to_even_before_the_zero_point():
    # Sums 1, 3, 5, -1, -3, -5 halved: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2 and so on, then + 3.
    w = np.array([[1, 3, 5, -1, -3, -5, 300 // 3, -100]], np.int8)
    packed = pc.pack(w, scale=1.0)
    a = np.ones((1, 1), np.uint8)
    got = pc.qlinear(a, packed, a_scale=1.0, y_scale=2.0, y_zero_point=3, y_dtype="int8")
    np.testing.assert_array_equal(got, [[3, 5, 5, 3, 1, 1, 53, -47]])


@pytest.mark.usefixtures("isa")
def test_results_saturate_and_nan_goes_low():
    w = np.array([[127, -127, 0]], np.int8)
    a = np.full((1, 1), 255, np.uint8)
    bias = np.array([0, 0, np.nan], np.float32)
    for dtype, low, high in (("uint8", 0, 255), ("int8", -128, 127)):
        packed = pc.pack(w, scale=3e38, bias=bias)
        got = pc.qlinear(a, packed, a_scale=1.0, y_scale=1e-3, y_dtype=dtype)
        np.testing.assert_array_equal(got, [[high, low, low]])
    assert np.isnan(pc.qlinear(a, pc.pack(w, 1.0, bias), a_scale=1.0, activation="relu")[0, 2])


# What int32 does not hold, and bounds next to the ends of the type: by these the tile clamps floats,
# or bytes, or leaves it to saturation.
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(
    ("scale", "bias", "residual_scale"),
    [(0.01, 0.0, 1.0), (1.0, 0.0, 1.0), (1e9, 0.0, 1.0), (0.01, 3e9, 1.0), (0.01, 0.0, 1e8)],
)
def test_what_saturation_does_not_hold(scale, bias, residual_scale, dtype):
    rng = np.random.default_rng(5)
    low = np.iinfo(dtype).min
    m, n, k = 9, 70, 20
    a, w = integers(rng, np.uint8, (m, k)), integers(rng, np.int8, (k, n))
    scales, biases = np.full(n, 0.01, np.float32), np.zeros(n, np.float32)
    scales[[3, 69]], biases[[3, 69]] = scale, bias
    residual = integers(rng, dtype, (m, n))
    packed = pc.pack(w, scales, biases)
    for zero, ends in product(
        (low, low + 128, low + 255),
        ((-0.6, 255.6), (0.4, 254.6), (0.5, 254.5), (0.6, 254.4), (7, 9)),
    ):
        lo, hi = (np.float32(end + low - zero) for end in ends)
        out = pc.qlinear(
            a,
            packed,
            a_scale=1.0,
            a_zero_point=128,
            y_scale=1.0,
            y_zero_point=zero,
            y_dtype=np.dtype(dtype).name,
            activation=("clip", float(lo), float(hi)),
            residual=residual,
            residual_scale=residual_scale,
            residual_zero_point=low + 9,
        )
        wanted = oracle.qlinear(
            a,
            w,
            scales,
            1.0,
            128,
            bias=biases,
            y_scale=1.0,
            y_zero=zero,
            y_dtype=dtype,
            low=lo,
            high=hi,
            residual=residual,
            residual_scale=residual_scale,
            residual_zero=low + 9,
        )
        np.testing.assert_array_equal(out, wanted)


# The last two have weights that do not stay in a second-level cache: they take other ways.
SHAPES = [
    (1, 500, 900),
    (37, 300, 129),
    (700, 65, 40),
    (130, 515, 300),
    (1, 900, 1001),
    (9, 1030, 800),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_thread_count_and_instruction_set_gives_the_same_bytes(shape):
    m, n, k = shape
    rng = np.random.default_rng(7)
    a, w = integers(rng, np.uint8, (m, k)), integers(rng, np.uint8, (k, n))
    scale, bias = rng.uniform(0.01, 0.02, n), rng.standard_normal(n)
    zero = integers(rng, np.uint8, n)
    before = pc.isa(), pc.get_num_threads()
    results = set()
    try:
        for name, threads in product(ISAS, (1, 2, 3, 5)):
            pc.use_isa(name)
            pc.set_num_threads(threads)
            packed = pc.pack(w, scale, bias, zero)
            sums = pc.qgemm(a, packed, 200)
            real = pc.qlinear(a, packed, a_scale=0.1, a_zero_point=9)
            results.add(sums.tobytes() + real.tobytes())
    finally:
        pc.use_isa(before[0])
        pc.set_num_threads(before[1])
    assert len(results) == 1
    np.testing.assert_array_equal(sums, oracle.qgemm(a, w, 200, zero))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_types_and_zero_points(data):
    a_type, w_type = data.draw(st.sampled_from(PAIRS))
    m, n, k = (data.draw(st.integers(1, limit)) for limit in (20, 150, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, w = integers(rng, a_type, (m, k)), integers(rng, w_type, (k, n))
    a_zero, w_zero = int(integers(rng, a_type, 1)[0]), integers(rng, w_type, n)
    wanted = oracle.qgemm(a, w, a_zero, w_zero)
    for name in ISAS:
        packed = _core.pack(w, None, None, w_zero, name)
        np.testing.assert_array_equal(pc.qgemm(a, packed, a_zero), wanted)
