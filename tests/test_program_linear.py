"""The preset operators `linear` and `embedding` and the 8-bit pointwise ones against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import run

RNG = np.random.default_rng(11)


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def gelu(x):
    erf = np.vectorize(__import__("math").erf)
    return (0.5 * x * (1 + erf(x / np.sqrt(2)))).astype(np.float32)


ACTIVATIONS = {
    "": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "clip": lambda x: np.clip(x, -0.5, 1.0),
    "gelu": gelu,
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}


def attributes(activation):
    return {
        "activation": activation,
        **({"alpha": -0.5, "beta": 1.0} if activation == "clip" else {}),
    }


def weights(k, n, dtype):
    info = np.iinfo(dtype)
    w = RNG.integers(info.min, info.max + 1, (k, n)).astype(dtype)
    scale = RNG.uniform(0.001, 0.02, n).astype(np.float32)
    return w, scale


SIZES = [(1, 1, 1), (1, 64, 70), (5, 33, 7), (64, 31, 65), (130, 48, 130)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_float_linear(m, k, n, activation, threads):
    x, w, b, r = f32(m, k), f32(k, n), f32(n), f32(m, n)
    act = ACTIVATIONS[activation]
    wanted = act(x @ w)
    (y,) = run("linear", [x, w], attributes(activation), constants=(1,), threads=threads)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    (y,) = run("linear", [x, w, b, r], attributes(activation), constants=(1, 2), threads=threads)
    np.testing.assert_allclose(y, act(x @ w + b + r), rtol=1e-4, atol=1e-4)


def test_leading_dimensions_are_rows():
    x, w = f32(2, 3, 4), f32(4, 5)
    (y,) = run("linear", [x, w], constants=(1,))
    np.testing.assert_allclose(y, x @ w, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_weights_in_integers_for_float_x(dtype):
    w, scale = weights(33, 19, dtype)
    zero = RNG.integers(0, 100, 19)
    x = f32(4, 33)
    attrs = {"w_scale": scale, "w_zero": zero.tolist()}
    (y,) = run("linear", [x, w], attrs, constants=(1,))
    wanted = x @ ((w.astype(np.int32) - zero) * scale).astype(np.float32)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


def quantize(x, scale, zero, dtype):
    info = np.iinfo(dtype)
    q = np.rint(np.float32(x) / np.float32(scale)) + zero
    return np.clip(q, info.min, info.max).astype(dtype)


@pytest.mark.parametrize("activation", ["", "gelu"])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_dynamic_linear(m, k, n, activation):
    w, scale = weights(k, n, np.int8)
    x, b, r = f32(m, k), f32(n), f32(m, n)
    attrs = {"w_scale": scale, "dynamic": 1, **attributes(activation)}
    (y,) = run("linear", [x, w, b, r], attrs, constants=(1, 2), threads=2)
    lo, hi = min(x.min(), 0), max(x.max(), 0)
    x_scale = np.float32((np.float32(hi) - np.float32(lo)) / np.float32(255))
    x_zero = int(np.rint(-lo / x_scale))
    q = quantize(x, x_scale, x_zero, np.uint8)
    acc = (q.astype(np.int64) - x_zero) @ w.astype(np.int64)
    sums = acc * (np.float64(x_scale) * scale).astype(np.float32) + b + r
    np.testing.assert_allclose(y, ACTIVATIONS[activation](sums), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("activation", ["", "relu", "gelu"])
@pytest.mark.parametrize("w_dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_a_range_for_each_row(m, k, n, w_dtype, activation):
    w, scale = weights(k, n, w_dtype)
    w_zero = np.zeros(n, np.int64) if w_dtype == np.int8 else RNG.integers(100, 150, n)
    x, b, r = f32(m, k), f32(n), f32(m, n)
    x *= np.exp2(RNG.integers(-10, 10, (m, 1))).astype(np.float32)  # rows of all sizes
    attrs = {"w_scale": scale, "w_zero": w_zero, "dynamic": 1, "by_row": 1}
    attrs |= attributes(activation)
    (y,) = run("linear", [x, w, b, r], attrs, constants=(1, 2), threads=2)
    lo, hi = np.minimum(x.min(1, initial=0), 0), np.maximum(x.max(1, initial=0), 0)
    x_scale = ((hi - lo) / np.float32(255)).astype(np.float32)
    x_zero = np.rint(-lo / x_scale).astype(np.int64)
    pairs = zip(x, x_scale, x_zero, strict=True)
    q = np.array([quantize(row, s, z, np.uint8) for row, s, z in pairs]).reshape(m, k)
    acc = (q.astype(np.int64) - x_zero[:, None]) @ (w.astype(np.int64) - w_zero)
    sums = acc.astype(np.float32) * scale * x_scale[:, None] + b + r
    if activation == "gelu":
        np.testing.assert_allclose(y, ACTIVATIONS[activation](sums), rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(y, ACTIVATIONS[activation](sums))


def test_rows_do_not_depend_on_each_other():
    w, scale = weights(40, 24, np.int8)
    x = f32(9, 40)
    x[4] = 0  # a row without a range
    x[7] *= 1000
    attrs = {"w_scale": scale, "dynamic": 1, "by_row": 1}
    (all_rows,) = run("linear", [x, w], attrs, constants=(1,))
    for i in range(9):
        (alone,) = run("linear", [x[i : i + 1], w], attrs, constants=(1,))
        np.testing.assert_array_equal(alone[0], all_rows[i])
    np.testing.assert_array_equal(all_rows[4], 0)


def test_dynamic_linear_of_zeros():
    w, scale = weights(8, 3, np.int8)
    b = f32(3)
    (y,) = run(
        "linear",
        [np.zeros((2, 8), np.float32), w, b],
        {"w_scale": scale, "dynamic": 1},
        constants=(1, 2),
    )
    np.testing.assert_array_equal(y, np.broadcast_to(b, (2, 3)))


@pytest.mark.parametrize("w_dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("x_dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_integer_linear_to_float(m, k, n, x_dtype, w_dtype):
    w, scale = weights(k, n, w_dtype)
    w_zero = RNG.integers(-5, 5, n) if w_dtype == np.int8 else RNG.integers(100, 150, n)
    info = np.iinfo(x_dtype)
    x = RNG.integers(info.min, info.max + 1, (m, k)).astype(x_dtype)
    bias = RNG.integers(-1000, 1000, n).astype(np.int32)
    attrs = {"w_scale": scale, "w_zero": w_zero.tolist(), "x_scale": 0.05, "x_zero": 7}
    (y,) = run("linear", [x, w, bias], attrs, constants=(1, 2), threads=2)
    acc = (x.astype(np.int64) - 7) @ (w.astype(np.int64) - w_zero) + bias
    wanted = acc.astype(np.float32) * (np.float64(np.float32(0.05)) * scale).astype(np.float32)
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("y_dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_integer_linear_to_integer(m, k, n, activation, y_dtype):
    w, scale = weights(k, n, np.int8)
    x = RNG.integers(0, 256, (m, k)).astype(np.uint8)
    info = np.iinfo(y_dtype)
    r = RNG.integers(info.min, info.max + 1, (m, n)).astype(y_dtype)
    b = f32(n)
    zero = 3
    attrs = {
        "w_scale": scale,
        "x_scale": 0.01,
        "x_zero": 128,
        "y_scale": 0.1,
        "y_zero": zero,
        "y_dtype": np.dtype(y_dtype).name,
        "res_scale": 0.03,
        "res_zero": 5,
        **attributes(activation),
    }
    (y,) = run("linear", [x, w, b, r], attrs, constants=(1, 2), threads=2)
    acc = (x.astype(np.int64) - 128) @ w.astype(np.int64)
    real = acc * (np.float64(np.float32(0.01)) * scale) + b + (r.astype(np.int64) - 5) * 0.03
    wanted = quantize(ACTIVATIONS[activation](real.astype(np.float32)), 0.1, zero, y_dtype).astype(
        int
    )
    # float64 here, float32 there: a tie may fall to the other side.
    assert np.abs(y.astype(int) - wanted).max() <= 1
    assert (y != wanted).mean() < 0.01


def test_int32_bias_is_exact_in_integer_output():
    x = np.array([[2, 1]], np.uint8)
    w = np.array([[1], [1]], np.int8)
    bias = np.array([-1], np.int32)
    attrs = {"w_scale": [1.0], "x_scale": 0.5, "x_zero": 0, "y_scale": 0.4, "y_zero": 0}
    (y,) = run("linear", [x, w, bias], attrs, constants=(1, 2))
    assert y.tolist() == [[2]]  # (3 - 1) * 0.5 / 0.4 = 2.5, half to even


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_embedding(index_dtype):
    table = RNG.integers(-128, 128, (11, 6)).astype(np.int8)
    indices = np.array([[0, -1, 10], [3, 3, -11]], index_dtype)
    one = np.float32(0.3)
    cases = {
        "tensor": ({"scale": 0.3, "zero": 4}, (table.astype(np.int32) - 4) * one),
        "rows": None,
        "columns": None,
    }
    rows = RNG.uniform(0.1, 1, 11).astype(np.float32)
    columns = RNG.uniform(0.1, 1, 6).astype(np.float32)
    cases["rows"] = ({"scale": rows, "axis": 0}, table * rows[:, None])
    cases["columns"] = (
        {"scale": columns, "axis": 1, "zero": [1] * 6},
        (table.astype(np.int32) - 1) * columns,
    )
    for attrs, wanted in cases.values():
        (y,) = run("embedding", [table, indices], attrs, constants=(0,))
        np.testing.assert_array_equal(y, wanted[indices].astype(np.float32))
    plain = f32(11, 6)
    np.testing.assert_array_equal(
        run("embedding", [plain, indices], constants=(0,))[0], plain[indices]
    )


def test_embedding_keeps_infinities():
    table = np.array([[1.0, -np.inf]], np.float32)
    np.testing.assert_array_equal(
        run("embedding", [table, np.array([0])], constants=(0,))[0], table
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_q_table(dtype):
    table = RNG.integers(0, 256, 256).astype(np.uint8)
    x = np.arange(256, dtype=np.uint8).view(dtype)
    (y,) = run("q_table", [x], {"table": table})
    np.testing.assert_array_equal(y, table.view(dtype))
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("op", ["q_add", "q_mul"])
@pytest.mark.parametrize("activation", ["", "relu"])
@pytest.mark.parametrize(
    "shapes", [((3, 700), (3, 700)), ((2, 5, 7), (7,)), ((2, 1100), (2, 1)), ((1,), (4, 9))]
)
@pytest.mark.usefixtures("isa")
def test_q_binary(op, dtype, activation, shapes):
    info = np.iinfo(dtype)
    a, b = (RNG.integers(info.min, info.max + 1, s).astype(dtype) for s in shapes)
    attrs = {
        "a_scale": 0.11,
        "a_zero": 3,
        "b_scale": 0.07,
        "b_zero": 9,
        "y_scale": 0.13,
        "y_zero": 2,
        "activation": activation,
    }
    (y,) = run(op, [a, b], attrs, threads=2)
    f = np.float32
    p = a.astype(np.int32) - attrs["a_zero"]
    q = b.astype(np.int32) - attrs["b_zero"]
    sa, sb, sy = (np.float64(f(attrs[k])) for k in ("a_scale", "b_scale", "y_scale"))
    v = (
        p.astype(f) * f(sa / sy) + q.astype(f) * f(sb / sy)
        if op == "q_add"
        else (p * q).astype(f) * f(sa * sb / sy)
    )
    v = np.maximum(v, 0) if activation else v
    np.testing.assert_array_equal(y, np.clip(np.rint(v) + 2, info.min, info.max).astype(dtype))


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({}, "w_scale"),
        ({"w_scale": [1.0, 2.0]}, "1 or 3 values"),
        ({"w_scale": [1.0], "x_scale": 0.0}, "x_scale"),
        ({"w_scale": [1.0], "y_scale": 1.0, "dynamic": 1}, "y_scale"),
        ({"w_scale": [1.0], "activation": "snake"}, "snake"),
        ({"w_scale": [1.0], "alphabet": 1}, "alphabet"),
    ],
)
def test_bad_attributes_are_named(attrs, message):
    with pytest.raises(ValueError, match=message):
        run("linear", [f32(2, 4), np.ones((4, 3), np.int8)], attrs, constants=(1,))
