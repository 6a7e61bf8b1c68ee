"""quantize, dequantize, quantize_weights: bit for bit as ONNX says, on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import pycompress as pc
from tests import oracle_quantize as oracle

SPECIAL = np.array(
    [0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38, -3.4e38]
    + [k + 0.5 for k in (-130, -129, -128, -3, -2, -1, 0, 1, 2, 126, 127, 254, 255, 256)],
    np.float32,
)
# Significands next to multiples of 2^16, for which two products are tried at every tie;
# denormals; both ends of the range of float32.
SCALES = np.array(
    [1, 0.5, 0.1, 0.0123, 7.7, 1e-40, 1e-45, 1.2e-38, 1e30, 3e38, 2.0**64, 2.0**65, 2.0**-65]
    + [float.fromhex(f"0x1.{low:04x}{high:02x}p{e}")
       for e in (-40, -24, -5, 0) for low in (0x0000, 0x0100, 0xFE00)
       for high in (0x00, 0x02, 0x04, 0x06, 0x0C, 0x0E, 0xFE, 0xFC, 0xF4, 0xF2)],
    np.float32,
)  # fmt: skip
DTYPES = ("int8", "uint8")


def zeros_of(dtype):
    lo, hi = oracle.LIMITS[dtype]
    return (lo, 0, 17, hi)


def boundaries(scale):
    """Floats on both sides of every place where the result may change."""
    with np.errstate(over="ignore", under="ignore"):
        ties = ((np.arange(-258, 258) + 0.5) * float(scale)).astype(np.float32)
        steps = [ties]
        for direction in (np.inf, -np.inf):
            x = ties
            for _ in range(3):
                x = np.nextafter(x, np.float32(direction))
                steps.append(x)
    return np.concatenate([*steps, SPECIAL, SPECIAL * np.float32(scale)])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_decision_of_awkward_scales(dtype):
    for scale in SCALES:
        with np.errstate(all="ignore"):
            x = boundaries(scale)
        for zero in zeros_of(dtype):
            found = pc.quantize(x, scale, zero, dtype=dtype)
            np.testing.assert_array_equal(found, oracle.quantize(x, scale, zero, dtype=dtype))


@pytest.mark.usefixtures("isa")
def test_every_decision_of_random_scales():
    rng = np.random.default_rng(1)
    bits = rng.integers(0x00800000, 0x7F000000, 300, np.uint32)
    bits[::3] = (bits[::3] & 0xFFFF0000) | (rng.integers(-7, 8, 100) & 0xFFFF).astype(np.uint32)
    for scale in bits.view(np.float32):
        with np.errstate(all="ignore"):
            x = boundaries(scale)
        found = pc.quantize(x, scale, 3)
        np.testing.assert_array_equal(found, oracle.quantize(x, scale, 3))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*range(70), 200, 1000])
def test_writes_only_out(n, dtype):
    x = np.resize(SPECIAL * np.float32(0.3), n)
    guarded = np.full(n + 64, 99, dtype)
    out = guarded[32 : 32 + n]
    assert pc.quantize(x, 0.3, 1, dtype=dtype, out=out) is out
    np.testing.assert_array_equal(out, oracle.quantize(x, 0.3, 1, dtype=dtype))
    assert (np.delete(guarded, np.s_[32 : 32 + n]) == 99).all()

    floats = np.full(n + 64, 99, np.float32)
    pc.dequantize(out, 0.3, 1, out=floats[32 : 32 + n])
    np.testing.assert_array_equal(floats[32 : 32 + n], oracle.dequantize(out, 0.3, 1))
    assert (np.delete(floats, np.s_[32 : 32 + n]) == 99).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((5, 3), 0), ((5, 3), 1), ((7, 3, 3, 3), 0), ((4, 5, 3, 3), 1), ((2, 9, 9, 3), -1),
        ((3, 700, 3), 1), ((2, 2000), 1), ((2000, 2), 0), ((3, 2, 64), 1), ((3, 2, 63), 1),
        ((2, 300), 1), ((1, 200, 9), 1), ((70, 1100), 1), ((70, 1100), 0), ((1, 1, 5), 1),
        ((2, 90000), 0), ((40000, 3), 1), ((4, 130, 150), 1), ((0, 3), 1), ((3, 0), 0), ((1,), 0),
    ],
)  # fmt: skip
def test_channels_on_any_axis(shape, axis, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 40, shape).astype(np.float32)
    count = shape[axis]
    scale = rng.uniform(0.1, 2, count).astype(np.float32)
    lo, hi = oracle.LIMITS[dtype]
    zero = rng.integers(lo, hi + 1, count)
    q = pc.quantize(x, scale, zero, axis, dtype)
    np.testing.assert_array_equal(q, oracle.quantize(x, scale, zero, axis, dtype))
    np.testing.assert_array_equal(
        pc.dequantize(q, scale, zero, axis), oracle.dequantize(q, scale, zero, axis)
    )


# Rows that fit a block of columns in L1, that do not, that are more than one block; with the last row
# or rows left over; joined, of any alignment.
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one_zero", [True, False])
@pytest.mark.parametrize(
    ("rows", "n"), [(5, 70), (9, 1537), (8, 8193), (4, 64), (33, 48), (61, 7), (3, 200), (8, 1000)]
)
def test_a_scale_for_each_column(rows, n, one_zero, dtype):
    rng = np.random.default_rng(5)
    lo, hi = oracle.LIMITS[dtype]
    scale = rng.uniform(0.1, 2, n).astype(np.float32)
    zero = np.full(n, 3) if one_zero else rng.integers(lo, hi + 1, n)
    for offset in (0, 3):
        x = np.full(rows * n + offset, 99, np.float32)[offset:]
        x[:] = np.resize(np.concatenate([SPECIAL, rng.normal(0, 40, 50)]), x.size)
        guarded = np.full(rows * n + 64, 99, dtype)
        out = guarded[offset + 7 : offset + 7 + rows * n].reshape(rows, n)
        x = x.reshape(rows, n)
        pc.quantize(x, scale, zero, 1, dtype, out=out)
        np.testing.assert_array_equal(out, oracle.quantize(x, scale, zero, 1, dtype))
        assert (np.delete(guarded, np.s_[offset + 7 : offset + 7 + rows * n]) == 99).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("scale", [2.0**-70, 1e-40, 3e38, float.fromhex("0x1.0000020p0")])
def test_a_column_that_divides_among_others(scale):
    x = np.resize(SPECIAL, (8, 100))
    scales = np.full(100, 0.25, np.float32)
    scales[41] = scale
    with np.errstate(all="ignore"):
        expected = oracle.quantize(x, scales, 0, 1)
    np.testing.assert_array_equal(pc.quantize(x, scales, axis=1), expected)


# More than caches hold, so that it is written around them: whole dwords off, and at the worst
# alignment.
@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("offset", [64, 61])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_what_no_cache_holds(axis, offset):
    rows, n, kinds = 4099, 4096, 7
    rng = np.random.default_rng(6)
    part = rng.normal(0, 40, (kinds, n)).astype(np.float32)
    part[:, : len(SPECIAL)] = part[:, -len(SPECIAL) :] = SPECIAL
    x = np.resize(part, (rows, n))
    scale, zero = np.float32(0.7), np.int64(5)
    if axis is not None:
        period = kinds if axis == 0 else n
        scale = rng.uniform(0.1, 2, period).astype(np.float32)
        zero = rng.integers(-128, 128, period)
    expected = oracle.quantize(part, scale, zero, axis)
    if axis == 0:
        scale, zero = np.resize(scale, rows), np.resize(zero, rows)
        scale[2002] = 1e-40  # a multiple of 7; it divides
    guarded = np.full(rows * n + 128, 99, np.int8)
    out = guarded[offset : offset + rows * n].reshape(rows, n)
    pc.quantize(x, scale, zero, axis, out=out)
    if axis == 0:
        with np.errstate(over="ignore"):
            divided = oracle.quantize(part[:1], scale[2002], zero[2002])
        np.testing.assert_array_equal(out[2002:2003], divided)
        out[2002] = expected[0]
    for kind in range(kinds):
        assert (out[kind::kinds] == expected[kind]).all()
    assert (guarded[:offset] == 99).all()
    assert (guarded[offset + rows * n :] == 99).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(4099, 4096), (300, 1000)])
def test_weights_of_many_rows(shape):
    kinds = 7
    part = np.random.default_rng(7).normal(0, 1, (kinds, shape[1])).astype(np.float32)
    found = pc.quantize_weights(np.resize(part, shape), 0)
    scale = np.abs(part).max(axis=1) / np.float32(127)
    np.testing.assert_array_equal(found.scale, np.resize(scale, shape[0]))
    expected = oracle.quantize(part, scale, axis=0)
    for kind in range(kinds):
        assert (found.data[kind::kinds] == expected[kind]).all()


@pytest.mark.parametrize("shape", [(300000,), (300, 1000), (100, 333, 9)])
def test_threads_do_not_change_the_bits(shape):
    rng = np.random.default_rng(2)
    x = rng.normal(0, 10, shape).astype(np.float32)
    axis = min(1, len(shape) - 1)
    scale = rng.uniform(0.05, 0.2, shape[axis]).astype(np.float32)
    before = pc.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            pc.set_num_threads(threads)
            results.append((pc.quantize(x, 0.1), pc.quantize(x, scale, axis=axis)))
    finally:
        pc.set_num_threads(before)
    for one, many in results:
        np.testing.assert_array_equal(one, oracle.quantize(x, 0.1))
        np.testing.assert_array_equal(many, oracle.quantize(x, scale, axis=axis))


@pytest.mark.usefixtures("isa")
def test_dequantize_int32():
    q = np.array([0, 1, -1, 2**31 - 1, -(2**31), 16777217] * 7, np.int32)
    np.testing.assert_array_equal(pc.dequantize(q, 0.25), oracle.dequantize(q, 0.25))


@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)),
    st.floats(2.0**-100, 2.0**100, width=32),
    st.integers(-128, 127),
)
def test_any_floats(x, scale, zero):
    expected = oracle.quantize(x, scale, zero)
    np.testing.assert_array_equal(pc.quantize(x, scale, zero), expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((8, 5), 0),
        ((8, 5), 1),
        ((6, 4, 3, 3), 0),
        ((4, 6, 3, 3), -3),
        ((3, 200), 0),
        ((9, 70), 1),
        ((2, 3, 65), 1),
        ((7, 9), None),
    ],
)
def test_weights_fit_their_scale(shape, axis):
    w = np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)
    if axis is not None:
        np.moveaxis(w, axis, 0)[1] = 0
    out = np.empty(shape, np.int8)
    found = pc.quantize_weights(w, axis, out=out)
    assert found.data is out
    others = None if axis is None else tuple(i for i in range(w.ndim) if i != axis % w.ndim)
    largest = np.abs(w).max(axis=others)
    scale = np.where(largest == 0, np.float32(1), largest / np.float32(127))
    np.testing.assert_array_equal(found.scale, scale)
    assert found.data.dtype == np.int8
    np.testing.assert_array_equal(found.data, oracle.quantize(w, scale, axis=axis))
    assert np.abs(found.data.astype(int)).max() == 127
    assert found.nbytes == found.data.nbytes + found.scale.nbytes
    error = np.abs(found.dequantize() - w)
    assert (error <= oracle.along(scale, w, found.axis) * 0.5001).all()


def test_weights_of_tiny_size_stay_within_127():
    w = np.array([[1e-45, -1e-44, 1e-40], [1e-38, 2e-38, -3e-38]], np.float32)
    assert np.abs(pc.quantize_weights(w, 0).data.astype(int)).max() <= 127


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [5, 100])
def test_weights_that_are_not_finite(axis, wild, columns):
    w = np.ones((4, columns), np.float32)
    w[2, 3] = wild
    where = {0: "channel 2 of axis 0", 1: "channel 3 of axis 1", None: "infinite values"}[axis]
    with pytest.raises(ValueError, match=where):
        pc.quantize_weights(w, axis)


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": X.astype(float)}, TypeError, "x has dtype float64, wanted float32"),
        ({"x": [1.0]}, TypeError, "x must be an array"),
        ({"x": X.T}, ValueError, "contiguous"),
        ({"scale": 0}, ValueError, "scale must be positive and finite, found 0"),
        ({"scale": np.nan}, ValueError, "scale must be positive"),
        ({"scale": np.inf}, ValueError, "scale must be positive"),
        ({"scale": "a"}, TypeError, "scale must be a number"),
        ({"scale": [1, 2]}, ValueError, r"scale has shape \(2,\), wanted \(\): there is no axis"),
        (
            {"scale": [1, 2], "axis": 1},
            ValueError,
            r"scale has shape \(2,\), wanted \(\) or \(3,\)",
        ),
        ({"axis": 2}, ValueError, r"axis is 2, outside of an array of shape \(2, 3\)"),
        ({"zero_point": 128}, ValueError, "zero_point is 128, outside of int8"),
        ({"zero_point": 1.5}, TypeError, "zero_point must be an integer"),
        ({"dtype": "int4"}, ValueError, "dtype is 'int4', wanted 'int8' or 'uint8'"),
        ({"out": np.empty((2, 3), np.uint8)}, TypeError, "out has dtype uint8, wanted int8"),
        (
            {"out": np.empty((3, 2), np.int8)},
            ValueError,
            r"out has shape \(3, 2\), wanted \(2, 3\)",
        ),
        ({"out": np.empty((2, 6), np.int8)[:, ::2]}, ValueError, "contiguous"),
        ({"out": X.view(np.int8)[:, :3].copy(order="F")}, ValueError, "contiguous"),
        (
            {"out": X.reshape(-1).view(np.int8)[:6].reshape(2, 3)},
            ValueError,
            "shares memory with x",
        ),
    ],
)
def test_refusals_name_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        pc.quantize(**({"x": X, "scale": 0.1} | arguments))


def test_weights_refuse_other_widths():
    with pytest.raises(ValueError, match="bits is 5, wanted 8"):
        pc.quantize_weights(X, 0, bits=5)


def test_dequantize_refuses_floats():
    with pytest.raises(TypeError, match="q has dtype float32, wanted uint8, int8 or int32"):
        pc.dequantize(X, 1)
