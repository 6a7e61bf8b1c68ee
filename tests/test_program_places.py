"""Operators that read or write at computed places, against onnx.reference and onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import Case, run

RNG = np.random.default_rng(11)
NUMBERS = [
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
]


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def i64(*values):
    return np.array(values, np.int64)


def grid(*shape):
    """Places from well inside to far outside; the ends and the middles between pixels exactly."""
    places = RNG.uniform(-2.5, 2.5, shape).astype(np.float32)
    places.reshape(-1)[:6] = [-1, 1, 0, 0.25, -7, 9]
    return places


def grid_cases():
    for align in (0, 1):
        for padding in ("zeros", "border", "reflection"):
            attrs = {"align_corners": align, "padding_mode": padding}
            for mode in ("linear", "nearest", "cubic"):
                yield Case(
                    "GridSample",
                    [f32(2, 3, 4, 5), grid(2, 3, 4, 2)],
                    {"mode": mode, **attrs},
                    atol=1e-5,
                )
            for mode in ("linear", "nearest"):
                yield Case(
                    "GridSample",
                    [f32(1, 2, 3, 4, 5), grid(1, 2, 2, 2, 3)],
                    {"mode": mode, **attrs},
                    atol=1e-5,
                )
    yield Case(
        "GridSample", [f32(1, 1, 4, 5).astype(np.float64), grid(1, 2, 3, 2).astype(np.float64)]
    )
    yield Case("GridSample", [f32(1, 2, 1, 1), grid(1, 3, 3, 2)], {"padding_mode": "border"})
    # more places than are kept at once, and more channels than go together; all inside, or some
    inside = RNG.uniform(-0.8, 0.8, (1, 5, 9, 2)).astype(np.float32)
    for places in (inside, inside * np.float32(2), inside.round(0)):
        yield Case("GridSample", [f32(1, 6, 7, 9), places], {"mode": "linear"})


def scatter_cases():
    for dtype in (*NUMBERS, "bool"):
        for reduction in ("none", "add", "mul", "min", "max"):
            if dtype == "bool" and reduction != "none":
                continue
            data = RNG.integers(0, 9, (3, 4)).astype(dtype)
            updates = RNG.integers(0, 9, (2, 4)).astype(dtype)
            indices = RNG.integers(-3, 3, (2, 4))
            yield Case(
                "ScatterElements", [data, indices, updates], {"axis": 0, "reduction": reduction}
            )
    data, updates = f32(2, 3, 4), f32(2, 2, 3)
    indices = RNG.integers(-4, 4, (2, 2, 3)).astype(np.int32)
    yield Case("ScatterElements", [data, indices, updates], {"axis": -1, "reduction": "add"})
    yield Case(
        "ScatterElements",
        [data, np.zeros((2, 0, 4), np.int64), np.zeros((2, 0, 4), np.float32)],
        {"axis": 1},
    )
    cache, update = f32(2, 3, 6, 2), f32(2, 3, 2, 2)
    for mode, first in (("linear", i64(0, 4)), ("circular", i64(5, 4))):
        yield Case("TensorScatter", [cache, update, first], {"mode": mode})
    yield Case("TensorScatter", [cache, update])
    yield Case("TensorScatter", [f32(2, 5, 3), f32(2, 1, 3), i64(4, 0)], {"axis": 1})


def moving_cases():
    for dtype in (*NUMBERS, "bool"):
        x = RNG.integers(0, 2, (2, 8, 2, 6)).astype(dtype)
        yield Case("DepthToSpace", [x], {"blocksize": 2, "mode": "CRD"})
        yield Case("SpaceToDepth", [x], {"blocksize": 2})
        yield Case("ReverseSequence", [x, i64(1, 0, 2, 2, 1, 2, 2, 0)[:8]])
        yield Case("EyeLike", [x[0, :, 0].copy()], {"k": -1})
    yield Case("DepthToSpace", [f32(1, 18, 2, 3)], {"blocksize": 3})
    yield Case("DepthToSpace", [f32(0, 4, 2, 3)], {"blocksize": 2})
    yield Case("ReverseSequence", [f32(2, 4), i64(3, 4)], {"batch_axis": 0, "time_axis": 1})
    for k in (0, 2, -9, 9):
        yield Case("EyeLike", [f32(3, 5)], {"k": k, "dtype": 7})
    for exclusive in (0, 1):
        for reverse in (0, 1):
            attrs = {"exclusive": exclusive, "reverse": reverse}
            yield Case("CumProd", [f32(2, 3, 4), np.array(1)], attrs, opset=26)
    yield Case("CumProd", [RNG.integers(1, 5, (3, 2)), np.array(-1)], opset=26)
    yield Case("BitCast", [f32(2, 3)], {"to": 6}, opset=26)
    yield Case("BitCast", [RNG.integers(-9, 9, (2, 3)).astype(np.int16)], {"to": 4}, opset=26)
    yield Case(
        "OneHot",
        [np.array([1, -1, 7, 2], np.float32), np.array(3.0, np.float32), f32(2)],
        constants=(1,),
    )
    yield Case(
        "OneHot",
        [i64(1, -1, 7, 0), np.array(3.0), np.array([0, 1], np.int32)],
        {"axis": 0},
        constants=(1,),
    )


def axis_cases():
    x = f32(2, 5, 3)
    tied = np.round(x)
    tied[0, :, 0] = 0
    for axis in (0, 1, -1):
        yield Case("Hardmax", [tied], {"axis": axis})
        yield Case("LpNormalization", [tied], {"axis": axis})
    yield Case("LpNormalization", [x.astype(np.float64)])
    yield Case("Hardmax", [np.zeros((2, 0), np.float32)])
    rois = np.array([[0, 0, 3, 4], [1.3, 0.2, 2.2, 3.9], [-2, -1, 9, 9]], np.float32)
    for mode in ("avg", "max"):
        for where in ("half_pixel", "output_half_pixel"):
            attrs = {
                "mode": mode, "output_height": 3, "output_width": 2, "sampling_ratio": 2,
                "spatial_scale": 0.8, "coordinate_transformation_mode": where,
            }  # fmt: skip
            yield Case("RoiAlign", [f32(2, 3, 5, 6), rois, i64(1, 0, 1)], attrs, atol=1e-5)
    yield Case("RoiAlign", [f32(1, 2, 5, 6), rois[:2], i64(0, 0)], {"output_height": 2})
    for mode in ("avg", "max"):  # more channels than go together
        attrs = {"mode": mode, "output_height": 3, "sampling_ratio": 2}
        yield Case("RoiAlign", [f32(1, 6, 5, 6), rois, i64(0, 0, 0)], attrs, atol=1e-5)
    yield Case("RoiAlign", [f32(1, 2, 5, 6), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)])


EQUATIONS = {
    "ij->ji": [(3, 4)],
    "ii->i": [(4, 4)],
    "ii": [(4, 4)],
    "ij->": [(3, 4)],
    "i,i": [(5,), (5,)],
    "i,j->ij": [(3,), (4,)],
    "bij, bjk -> bik": [(2, 3, 4), (2, 4, 5)],
    "bij,bjk": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 3, 4), (2, 4, 5)],
    "...ii->...i": [(2, 3, 3)],
    "ij,jk,kl->il": [(2, 3), (3, 4), (4, 5)],
    "ijk,ijk->": [(2, 3, 4), (2, 3, 4)],
    "ab,cd->abcd": [(2, 3), (1, 2)],
    "i,i->i": [(0,), (0,)],
    "ij,j->i": [(2, 0), (0,)],
}


def einsum_cases():
    for equation, shapes in EQUATIONS.items():
        yield Case("Einsum", [f32(*s) for s in shapes], {"equation": equation})
    for dtype in ("float64", "int32", "int64", "uint8"):
        operands = [RNG.integers(0, 3, s).astype(dtype) for s in ((2, 3), (3, 4))]
        yield Case("Einsum", operands, {"equation": "ij,jk->ik"})


CASES = [
    *grid_cases(), *scatter_cases(), *moving_cases(), *axis_cases(), *einsum_cases(),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_reference(case):
    case.check(threads=1 + len(str(case)) % 2)


def test_an_axis_of_nothing():
    (y,) = run("GridSample", [f32(1, 2, 3, 3), np.zeros((1, 0, 4, 2), np.float32)])
    assert y.shape == (1, 2, 0, 4)
    (y,) = run("SpaceToDepth", [np.zeros((0, 2, 4, 4), np.float32)], {"blocksize": 2})
    assert y.shape == (0, 8, 2, 2)


def test_indices_that_are_fractions_are_cut_off():
    given = np.array([1.9, -0.9, 2.9, np.nan, np.inf, -1e30, 3], np.float64)
    (y,) = run("OneHot", [given, np.array(3.5), np.array([0, 1], np.int8)], constants=(1,))
    assert y.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], *[[0] * 3] * 4]


def test_a_norm_of_magnitudes():
    x = np.array([[1, -3], [0, 0]], np.float32)  # onnx.reference adds them with their signs
    (y,) = run("LpNormalization", [x], {"p": 1})
    np.testing.assert_allclose(y, [[0.25, -0.75], [0, 0]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_lrn(size):  # onnx.reference walks over the batch in place of the channels
    x = f32(2, 5, 3, 2)
    (y,) = run("LRN", [x], {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5})
    padded = np.pad(
        x.astype(np.float64) ** 2, ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0))
    )
    sums = sum(padded[:, i : i + 5] for i in range(size))
    np.testing.assert_allclose(y, x / (1.5 + 0.3 / size * sums) ** 0.6, rtol=1e-5)


def test_blocks_whose_columns_come_first():
    x = np.arange(2 * 3 * 4 * 6, dtype=np.int16).reshape(2, 3, 4, 6)
    (deep,) = run("SpaceToDepth", [x], {"blocksize": 2, "mode": "CRD"})
    wanted = x.reshape(2, 3, 2, 2, 3, 2).transpose(0, 1, 3, 5, 2, 4).reshape(2, 12, 2, 3)
    np.testing.assert_array_equal(deep, wanted)
    (back,) = run("DepthToSpace", [deep], {"blocksize": 2, "mode": "CRD"})
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_a_place_that_is_none_reads_an_edge_or_nothing(mode, padding, value):
    x = np.full((1, 1, 3, 3), 2, np.float32)
    places = np.full((1, 1, 1, 2), value, np.float32)
    (y,) = run("GridSample", [x, places], {"mode": mode, "padding_mode": padding})
    np.testing.assert_allclose(y, 0 if padding == "zeros" else 2, atol=1e-6)


X = f32(2, 4, 4, 4)
REFUSALS = [
    ("GridSample", [X, f32(2, 3, 3, 3)], {}, "does not fit X"),
    ("GridSample", [X, f32(1, 3, 3, 2)], {}, "does not fit X"),
    ("GridSample", [X[:, :, :0], f32(2, 3, 3, 2)], {}, "has no pixels"),
    ("GridSample", [X, f32(2, 3, 3, 2)], {"mode": "area"}, "'mode' must be"),
    ("GridSample", [X, f32(2, 3, 3, 2)], {"padding_mode": "wrap"}, "'padding_mode' must be"),
    ("ScatterElements", [X[0, 0], i64(4)[:, None], f32(1, 1)], {}, "index 4 is out of range"),
    ("ScatterElements", [X[0, 0], i64(-5)[:, None], f32(1, 1)], {}, "index -5 is out of range"),
    ("ScatterElements", [X[0, 0], i64(1)[:, None], f32(2, 1)], {}, "do not fit data"),
    ("ScatterElements", [X[0, 0], np.zeros((1, 5), np.int64), f32(1, 5)], {}, "do not fit data"),
    ("ScatterElements", [X[0, 0], i64(1)[:, None], f32(1, 1)], {"axis": 2}, "axis"),
    ("ScatterElements", [X > 0, X[:1].astype(np.int64), X[:1] > 0], {"reduction": "add"}, "of bool"),
    ("ScatterElements", [X, X[:1].astype(np.int64), X[:1]], {"reduction": "mean"}, "'mean'"),
    ("TensorScatter", [X, X[:, :, :2].copy(), i64(0, 3)], {}, "write_indices has 3 for 2 rows"),
    ("TensorScatter", [X, X[:, :, :2].copy(), i64(-1, 0)], {}, "write_indices has -1"),
    ("TensorScatter", [X, X[:, :, :2].copy(), i64(0)], {}, r"wanted \[2\]"),
    ("TensorScatter", [X, X[:, :3].copy()], {}, "does not fit a cache"),
    ("TensorScatter", [X, X], {"axis": 0}, "names the batch"),
    ("DepthToSpace", [X], {"blocksize": 3}, "blocks of 3"),
    ("DepthToSpace", [X], {"blocksize": 0}, "at least 1"),
    ("SpaceToDepth", [X[0]], {"blocksize": 2}, "blocks of 2"),
    ("ReverseSequence", [X, i64(1, 2, 3, 5)], {}, "sequence_lens has 3, input 0 has 2 steps"),
    ("ReverseSequence", [X, i64(1, 2)], {}, r"wanted \[4\]"),
    ("ReverseSequence", [X, i64(1, 2, 3, 5)], {"batch_axis": 2}, "must be 0 and 1"),
    ("EyeLike", [X], {}, "two dimensions"),
    ("BitCast", [X], {"to": 7}, "differ in their number of bits"),
    ("BitCast", [X], {"to": 8}, "element type 8"),
    ("OneHot", [i64(1), np.array([-1.5]), f32(2)], {}, "must not be negative"),
    ("OneHot", [i64(1), np.array([np.nan]), f32(2)], {}, "must not be negative"),
    ("RoiAlign", [X, f32(2, 4), i64(0, 2)], {}, "batch_indices has 2, X has 2 images"),
    ("RoiAlign", [X, f32(2, 4), i64(0, -1)], {}, "batch_indices has -1"),
    ("RoiAlign", [X, f32(2, 3), i64(0, 0)], {}, "wanted"),
    ("RoiAlign", [X, np.array([[0, 0, 1e9, 1]], np.float32), i64(0)], {}, "more than 4096 samples"),
    ("RoiAlign", [X, np.array([[0, 0, np.nan, 1]], np.float32), i64(0)], {}, "more than 4096 samples"),
    ("LRN", [X], {}, "'size' must be at least 1"),
    ("LpNormalization", [X], {"p": 3}, "'p' must be 1 or 2"),
    ("Hardmax", [X], {"axis": 4}, "axis"),
    ("Einsum", [X, X], {"equation": "ij,jk->ik"}, "does not fit an input of 4 dimensions"),
    ("Einsum", [X], {"equation": "abcd,e->e"}, "2 terms for 1 inputs"),
    ("Einsum", [X], {"equation": "ab1d->d"}, "not a term"),
    ("Einsum", [X], {"equation": "abcd->e"}, "an axis that no input has"),
    ("Einsum", [X], {"equation": "abcd->aa"}, "an axis twice"),
    ("Einsum", [X[0, 0], f32(3, 2)], {"equation": "ij,jk->ik"}, "is 4 and 3 long"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attrs", "message"), REFUSALS)
def test_refusals(op, inputs, attrs, message):
    constants = (1,) if op == "OneHot" else ()
    with pytest.raises(ValueError, match=message):
        run(op, [np.ascontiguousarray(x) for x in inputs], attrs, constants=constants)
