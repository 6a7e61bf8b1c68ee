"""Operators whose results are as large as their inputs' values make them, by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from pycompress import _core

RNG = np.random.default_rng(5)
TYPES = [
    *("float32", "float64", "bool", "int8", "uint8", "int16", "uint16"),
    *("int32", "uint32", "int64", "uint64"),
]


def run(op, inputs, attrs=None, outputs=1):
    return _core.DataOp(op, "node", len(inputs), outputs, attrs or {}).run(inputs)


def assert_same(found, wanted):
    for a, b in zip(found, map(np.asarray, wanted), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)


def small(dtype, *shape):
    return RNG.integers(0, 3, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_non_zero(dtype):
    for shape in ((7,), (3, 4), (2, 3, 2), (0, 3), ()):
        x = small(dtype, *shape)
        (y,) = run("NonZero", [x])
        if shape == ():  # the standard's words; NumPy refuses it
            assert y.shape == (0, int(x != 0))
        else:
            np.testing.assert_array_equal(y, np.nonzero(x))
        assert y.dtype == np.int64


def test_nan_and_minus_zero_are_one_not_zero_and_one_zero():
    (y,) = run("NonZero", [np.array([np.nan, -0.0, np.inf, 0.0], np.float32)])
    np.testing.assert_array_equal(y, [[0, 2]])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_compress(axis, dtype):
    x = small(dtype, 3, 4)
    attrs = {} if axis is None else {"axis": axis}
    for condition in ([True, False, True], [False, True], [], [False] * 3):
        kept = np.array(condition, bool)
        assert_same(run("Compress", [x, kept], attrs), [np.compress(kept, x, axis)])


def unique(x, axis, ordered):
    """Return the four results by the definition."""
    y, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not ordered:
        order = np.argsort(first)
        y = np.take(y, order, axis=0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return y, first, inverse, counts


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("ordered", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_unique(axis, ordered, dtype):
    attrs = {"sorted": ordered} | ({} if axis is None else {"axis": axis})
    for shape in ((6, 2), (2, 7)):
        x = small(dtype, *shape)
        wanted = unique(x, axis, ordered)
        assert_same(run("Unique", [x], attrs, outputs=4), wanted)
        assert_same(run("Unique", [x], attrs), wanted[:1])


def test_unique_takes_all_nan_for_one():
    x = np.array([np.nan, 1, -np.inf, np.nan, 1, np.inf], np.float32)
    y, first, inverse, counts = run("Unique", [x], outputs=4)
    np.testing.assert_array_equal(y, np.array([-np.inf, 1, np.inf, np.nan], np.float32))
    np.testing.assert_array_equal(first, [2, 1, 5, 0])
    np.testing.assert_array_equal(inverse, [3, 1, 0, 3, 1, 2])
    np.testing.assert_array_equal(counts, [1, 2, 1, 2])


def test_unique_of_nothing():
    y, *others = run("Unique", [np.zeros(0, np.int32)], outputs=4)
    assert y.shape == (0,)
    assert [o.shape for o in others] == [(0,)] * 3


def boxes(batch, count):
    corners = RNG.uniform(0, 8, (batch, count, 2, 2)).astype(np.float32)
    return corners.reshape(batch, count, 4)  # in any order


def suppressed(boxes, scores, most, threshold, least):
    """Return the boxes that stay, by the definition."""
    low = np.minimum(boxes[..., :2], boxes[..., 2:]).astype(np.float32)
    high = np.maximum(boxes[..., :2], boxes[..., 2:]).astype(np.float32)
    kept = []
    for b in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            mine = []
            for i in np.argsort(-scores[b, c], kind="stable"):
                sides = [
                    np.maximum(
                        np.minimum(high[b, i], high[b, k]) - np.maximum(low[b, i], low[b, k]), 0
                    )
                    for k in mine
                ]
                areas = [np.prod(high[b, k] - low[b, k]) for k in (*mine, i)]
                free = all(
                    np.prod(s) <= threshold * (a + areas[-1] - np.prod(s))
                    for s, a in zip(sides, areas, strict=False)
                )
                if len(mine) < most and scores[b, c, i] > least and free:
                    mine.append(i)
            kept += [(b, c, i) for i in mine]
    return np.array(kept, np.int64).reshape(-1, 3)


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize(
    ("most", "threshold", "least"), [(4, 0.3, 0.2), (50, 0.0, 0.5), (2, 1.0, -1)]
)
def test_non_max_suppression(most, threshold, least, centred):
    b, scores = boxes(2, 30), RNG.uniform(0, 1, (2, 3, 30)).astype(np.float32)
    scores[0, 0, 3:9] = 0.75  # the first of equals comes first
    given = b
    if centred:
        low, high = np.minimum(b[..., :2], b[..., 2:]), np.maximum(b[..., :2], b[..., 2:])
        given = np.concatenate([(low + high)[..., ::-1] / 2, (high - low)[..., ::-1]], -1)
        given = np.ascontiguousarray(given)
    inputs = [
        given,
        scores,
        np.array([most]),
        *(np.array([x], np.float32) for x in (threshold, least)),
    ]
    (found,) = run("NonMaxSuppression", inputs, {"center_point_box": centred})
    np.testing.assert_array_equal(found, suppressed(b, scores, most, threshold, least))


def test_non_max_suppression_of_nothing_and_of_nan():
    none = np.zeros((1, 0, 4), np.float32), np.zeros((1, 2, 0), np.float32), np.array(3)
    assert run("NonMaxSuppression", list(none))[0].shape == (0, 3)
    b, scores = boxes(1, 3), np.array([[[np.nan, 0.5, np.nan]]], np.float32)
    (found,) = run("NonMaxSuppression", [b, scores, np.array(3)])
    np.testing.assert_array_equal(found, [[0, 0, 1]])
    assert run("NonMaxSuppression", [b, scores])[0].shape == (0, 3)  # the standard's default: none
    b[0, 1] = np.nan
    (found,) = run(
        "NonMaxSuppression", [b, np.ones((1, 1, 3), np.float32), np.array(3), None, None]
    )
    assert found.shape[1] == 3


BOXES, SCORES = boxes(1, 3), np.ones((1, 1, 3), np.float32)
REFUSALS = [
    ("Compress", [np.zeros((2, 3)), np.ones(4, bool)], {"axis": 1}, "4 values for an axis of 3"),
    ("Compress", [np.zeros((2, 3)), np.ones((1, 1), bool)], {}, "bool of one dimension"),
    ("Compress", [np.zeros((2, 3)), np.ones(2, np.int64)], {}, "bool of one dimension"),
    ("Compress", [np.zeros((2, 3)), np.ones(2, bool)], {"axis": 2}, "axis"),
    ("Compress", [np.zeros((2, 3))], {}, "takes 2 to 2 inputs, found 1"),
    ("Compress", [np.zeros((2, 3)), None], {}, "input 1 is required"),
    ("NonZero", [np.zeros(2)], {"axis": 0}, "attribute 'axis' is not known"),
    ("NonZero", [np.zeros(2, object)], {}, "dtype object"),
    ("Unique", [np.zeros(2)], {"axis": 1}, "axis"),
    ("NonMaxSuppression", [BOXES[..., :3].copy(), SCORES], {}, r"\[batch, boxes, 4\]"),
    ("NonMaxSuppression", [BOXES, SCORES[..., :2].copy()], {}, "classes, 3"),
    ("NonMaxSuppression", [BOXES, SCORES, np.zeros(2, np.int64)], {}, "one int64"),
    ("NonMaxSuppression", [BOXES, SCORES, np.array(1), np.float32([1.5])], {}, "from 0 to 1"),
    ("NonMaxSuppression", [BOXES, SCORES, np.array(1), np.float64([0.5])], {}, "one float32"),
    ("NonMaxSuppression", [BOXES, SCORES], {"center_point_box": 2}, "must be 0 or 1"),
    ("Sort", [BOXES], {}, "unknown operator Sort"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attrs", "message"), REFUSALS)
def test_refusals(op, inputs, attrs, message):
    with pytest.raises(ValueError, match=message):
        run(op, inputs, attrs)
