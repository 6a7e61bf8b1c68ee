"""Float products, dynamic layers, and what the face of the kernels refuses."""

import array
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

import pycompress as pc
from pycompress import _core
from tests import oracle_gemm as oracle
from tests.gemm_cases import assert_only_inside, edges, guarded


def test_float_tiles(isa):
    rng = np.random.default_rng(1)
    mr, nr, _ = _core.gemm_tile(isa, True)
    for m in edges(mr):
        for n in edges(nr):
            for k in (1, 2, 3, 33):
                x = rng.standard_normal((m, k)).astype(np.float32)
                w = rng.standard_normal((k, n)).astype(np.float32)
                bias = rng.standard_normal(n).astype(np.float32)
                around, out = guarded((m, n), np.float32, 99)
                pc.linear(x, pc.pack(w, bias=bias), activation="relu", out=out)
                wanted = np.maximum(x.astype(np.float64) @ w + bias, 0)
                np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)
                assert_only_inside(around, 99)


@pytest.mark.usefixtures("isa")
def test_float_products_keep_nan_and_infinity():
    x = np.array([[np.nan, 1], [np.inf, 1], [1, 2]], np.float32)
    got = pc.linear(x, pc.pack(np.ones((2, 3), np.float32)), activation="relu")
    np.testing.assert_array_equal(got, np.array([[np.nan] * 3, [np.inf] * 3, [3] * 3], np.float32))


@pytest.mark.usefixtures("isa")
def test_dynamic_layer_is_dynamic_quantize_then_exact_product():
    rng = np.random.default_rng(2)
    for m, k, n in ((1, 7, 3), (9, 33, 70), (64, 128, 65)):
        x = rng.standard_normal((m, k)).astype(np.float32)
        w = rng.standard_normal((k, n)).astype(np.float32)
        bias = rng.standard_normal(n).astype(np.float32)
        layer = pc.Linear(w, bias)
        scale = np.abs(w).max(axis=0) / np.float32(127)
        q = np.clip(np.rint(w / scale), -127, 127).astype(np.int8)
        xq, x_scale, x_zero = oracle.dynamic_quantize(x)
        wanted = oracle.qlinear(xq, q, scale, x_scale, x_zero, bias=bias)
        np.testing.assert_array_equal(layer(x), wanted)
        wq = SimpleNamespace(data=q, scale=scale, axis=1)
        out = np.empty((m, n), np.float32)
        assert pc.Linear.from_quantized(wq, bias, "relu")(x, out=out) is out
        np.testing.assert_array_equal(out, np.maximum(wanted, 0))
        near = np.linalg.norm(wanted - (x @ w + bias)) / np.linalg.norm(x @ w)
        assert near < 0.02


def test_layer_of_zeros():
    layer = pc.Linear(np.zeros((4, 3), np.float32), np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(layer(np.zeros((2, 4), np.float32)), [[0, 1, 2]] * 2)


@pytest.mark.parametrize("name", ["gelu", "silu", "hard_swish", "sigmoid"])
@pytest.mark.usefixtures("isa")
def test_other_activations_run_in_float(name):
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (5, 12), dtype=np.uint8)
    packed = pc.pack(rng.integers(-127, 128, (12, 9), dtype=np.int8), 0.01)
    plain = pc.qlinear(a, packed, a_scale=0.01, a_zero_point=128)
    real = {
        "gelu": lambda v: 0.5 * v * (1 + np.vectorize(math.erf)(v / np.sqrt(2))),
        "silu": lambda v: v / (1 + np.exp(-v)),
        "hard_swish": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    }[name](plain.astype(np.float64))
    got = pc.qlinear(a, packed, a_scale=0.01, a_zero_point=128, activation=name)
    np.testing.assert_allclose(got, real, rtol=1e-5, atol=1e-6)
    q = pc.qlinear(
        a, packed, a_scale=0.01, a_zero_point=128, activation=name, y_scale=0.02, y_zero_point=40
    )
    wanted = np.clip(np.rint(got / np.float32(0.02)) + 40, 0, 255)
    np.testing.assert_array_equal(q, wanted)


def test_whatever_shows_its_memory_is_taken_without_a_copy():
    packed = pc.pack(np.ones((3, 2), np.int8))
    np.testing.assert_array_equal(pc.qgemm(array.array("B", [1, 2, 3]), packed), [6, 6])
    np.testing.assert_array_equal(pc.qgemm(memoryview(b"\x01\x02\x03"), packed), [6, 6])
    with pytest.raises(TypeError, match=r"qgemm: a must be an array.*found list"):
        pc.qgemm([[1, 2, 3]], packed)


A, W = np.ones((2, 3), np.uint8), np.ones((3, 4), np.int8)
REFUSED = {
    "a has shape": (ValueError, lambda p: pc.qgemm(np.ones((2, 5), np.uint8), p)),
    "a has dtype int16": (TypeError, lambda p: pc.qgemm(A.astype(np.int16), p)),
    "a of shape": (ValueError, lambda p: pc.qgemm(np.ones((3, 2), np.uint8).T, p)),
    "a is a scalar": (ValueError, lambda p: pc.qgemm(np.uint8(3), p)),
    "a_zero_point is 256": (ValueError, lambda p: pc.qgemm(A, p, 256)),
    "a_zero_point is -1": (ValueError, lambda p: pc.qgemm(A, p, -1)),
    "a_zero_point has shape": (ValueError, lambda p: pc.qgemm(A, p, np.zeros(3, np.uint8))),
    "a_zero_point must be an integer": (TypeError, lambda p: pc.qgemm(A, p, 0.5)),
    "out has dtype": (TypeError, lambda p: pc.qgemm(A, p, out=np.empty((2, 4), np.int64))),
    "out has dtype >i4": (TypeError, lambda p: pc.qgemm(A, p, out=np.empty((2, 4), ">i4"))),
    "out has shape": (ValueError, lambda p: pc.qgemm(A, p, out=np.empty((2, 5), np.int32))),
    "out must be a NumPy array": (TypeError, lambda p: pc.qgemm(A, p, out=[1])),
    "float32, wanted int8": (TypeError, lambda _: pc.qgemm(A, pc.pack(W.astype(np.float32)))),
    "packed without a scale": (ValueError, lambda _: pc.qlinear(A, pc.pack(W), a_scale=1.0)),
    "a_scale must be positive": (ValueError, lambda p: pc.qlinear(A, p, a_scale=0.0)),
    "a_scale has shape": (ValueError, lambda p: pc.qlinear(A, p, a_scale=np.ones(3))),
    "y_scale must be positive": (ValueError, lambda p: pc.qlinear(A, p, a_scale=1.0, y_scale=-1)),
    "y_scale must be a number, found str": (
        TypeError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, y_scale="1"),
    ),
    "y_zero_point must be an integer of 64 bits, found float": (
        TypeError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, y_scale=1.0, y_zero_point=1.0),
    ),
    "residual_scale must be positive": (
        ValueError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, residual_scale=np.float32(0)),
    ),
    "packed must be PackedWeights, as pack() gives them, found numpy.ndarray": (
        TypeError,
        lambda _: pc.qgemm(A, W),
    ),
    "y_dtype must be": (
        ValueError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, y_scale=1.0, y_dtype="int16"),
    ),
    "y_zero_point is 300": (
        ValueError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, y_scale=1.0, y_zero_point=300),
    ),
    "activation 'swoosh' is not known": (
        ValueError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, activation="swoosh"),
    ),
    "residual has dtype": (TypeError, lambda p: pc.qlinear(A, p, a_scale=1.0, residual=A)),
    "residual has shape": (
        ValueError,
        lambda p: pc.qlinear(A, p, a_scale=1.0, residual=np.ones((2, 3), np.float32)),
    ),
    "x has dtype >f4": (TypeError, lambda p: pc.linear(A.astype(">f4"), p)),
    "x has dtype uint8": (TypeError, lambda p: pc.linear(A, p)),
    "w has shape": (ValueError, lambda _: pc.pack(np.ones(3, np.int8))),
    "w has dtype >f4": (TypeError, lambda _: pc.pack(W.astype(">f4"))),
    "w has dtype": (TypeError, lambda _: pc.pack(np.ones((3, 3)))),
    "scale must be positive": (ValueError, lambda _: pc.pack(W, [1, 1, 0, 1])),
    "bias has shape": (ValueError, lambda _: pc.pack(W, 1.0, np.ones(3))),
    "neither a scale": (ValueError, lambda _: pc.pack(W.astype(np.float32), 1.0)),
    "zero_point is 128": (ValueError, lambda _: pc.pack(W, zero_point=128)),
    "Linear: w must be float32": (TypeError, lambda _: pc.Linear(np.ones((3, 3)))),
    "not finite in column 1": (
        ValueError,
        lambda _: pc.Linear(np.array([[1, np.inf]], np.float32)),
    ),
    "axis 0": (
        ValueError,
        lambda _: pc.Linear.from_quantized(SimpleNamespace(data=W, scale=[1, 1, 1], axis=0)),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named(message):
    error, call = REFUSED[message]
    with pytest.raises(error, match=re.escape(message)):
        call(pc.pack(W, 1.0))


def test_out_must_be_its_own_writable_memory():
    packed = pc.pack(np.ones((4, 4), np.int8))
    store = np.zeros(64, np.uint8)
    with pytest.raises(ValueError, match="out shares memory"):
        pc.qgemm(store[:16].reshape(4, 4), packed, out=store.view(np.int32).reshape(4, 4))
    fixed = np.zeros((4, 4), np.int32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        pc.qgemm(np.ones((4, 4), np.uint8), packed, out=fixed)
    lapped = np.lib.stride_tricks.as_strided(np.zeros(16, np.int32), (4, 4), (4, 4))
    with pytest.raises(ValueError, match="overlap each other"):
        pc.qgemm(np.ones((4, 4), np.uint8), packed, out=lapped)


def test_instruction_sets_are_chosen_by_name():
    before = pc.isa()
    try:
        for name in pc.available_isas():
            pc.use_isa(name)
            assert pc.isa() == pc.pack(W).isa == name
    finally:
        pc.use_isa(before)
    with pytest.raises(ValueError, match=r"'sse9' is not available .* scalar"):
        pc.use_isa("sse9")
