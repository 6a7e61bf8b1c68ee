"""Integers of every width: bits, shifts, arithmetic, comparisons, choices, copies and casts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import run

SIGNED = (np.int8, np.int16, np.int32, np.int64)
UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
EVERY = SIGNED + UNSIGNED
SHAPES = [((2, 3, 70), (2, 3, 70)), ((5, 33), (33,)), ((), (4,)), ((0, 3), (3,)), ((3, 1), (1, 4))]
RNG = np.random.default_rng(3)
BITS = {
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
}
WRAPPING = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}
COMPARISONS = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}


def values(dtype, shape):
    """Numbers of the whole range, its ends among them."""
    info = np.iinfo(dtype)
    found = np.asarray(RNG.integers(info.min, info.max, shape, dtype, endpoint=True))
    if found.size > 3:
        found.flat[:4] = info.min, info.max, 0, 1
    return found


def check(found, wanted):
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", EVERY)
@pytest.mark.parametrize("op", [*BITS, *WRAPPING, *COMPARISONS])
def test_pairs_of_integers(op, dtype):
    define = {**BITS, **WRAPPING, **COMPARISONS}[op]
    for shapes in SHAPES:
        a, b = (values(dtype, shape) for shape in shapes)
        with np.errstate(over="ignore"):
            check(run(op, [a, b])[0], np.asarray(define(a, b)))


@pytest.mark.parametrize("dtype", EVERY)
def test_inverted_bits(dtype):
    for shape in [(3, 70), (), (0, 2)]:
        x = values(dtype, shape)
        check(run("BitwiseNot", [x])[0], np.asarray(~x))


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", EVERY)
def test_shifts_up_to_the_width_and_beyond(dtype, direction):
    info = np.iinfo(dtype)
    x = values(dtype, (40,))
    counts = [*range(info.bits + 2), info.max, *((-1, info.min) if dtype in SIGNED else ())]
    for count in counts:
        # Python's integers have no width; far shifts leave 0 or the sign.
        places = count if 0 <= count < info.bits else info.bits
        kept = [int(v) << places if direction == "LEFT" else int(v) >> places for v in x]
        wanted = np.array([v % 2**info.bits for v in kept], f"uint{info.bits}").view(dtype)
        check(run("BitShift", [x, np.array(count, dtype)], {"direction": direction})[0], wanted)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_quantized_to_16_bits(dtype):
    x = np.concatenate(
        [
            np.float32([0.5, 1.5, -0.5, np.nan, np.inf, -np.inf, 1e30, -1e30]),
            np.asarray(RNG.standard_normal(32) * 1e4, np.float32),
        ]
    ).reshape(4, 10)
    info = np.iinfo(dtype)
    for scale, zero in [
        (np.array(1, np.float32), np.array(7, dtype)),
        (np.float32([0.5, 1, 2, 3]), np.array([info.min, info.max, 0, 9], dtype)),
    ]:
        along = [np.reshape(v, (-1, 1)) for v in (scale, zero.astype(np.float64))]
        exact = np.rint(x / along[0]).astype(np.float64) + along[1]
        wanted = np.clip(np.nan_to_num(exact, nan=info.min), info.min, info.max).astype(dtype)
        found = run("QuantizeLinear", [x, scale, zero], {"axis": 0})[0]
        check(found, wanted)
        back = run("DequantizeLinear", [found, scale, zero], {"axis": 0})[0]
        check(back, (found - along[1]).astype(np.float32) * along[0])


@pytest.mark.parametrize("dtype", EVERY)
def test_division(dtype):
    a, b = values(dtype, (9, 40)), values(dtype, (40,))
    b[b == 0] = 3
    quotients = [
        [abs(int(p)) // abs(int(q)) * (1 if (p < 0) == (q < 0) else -1) for p, q in zip(row, b)]
        for row in a
    ]
    width = np.iinfo(dtype).bits
    wanted = np.array([[v % 2**width for v in row] for row in quotients], f"uint{width}")
    check(run("Div", [a, b])[0], wanted.view(dtype))
    rests = [[int(p) % int(q) for p, q in zip(row, b)] for row in a]
    check(run("Mod", [a, b])[0], np.array(rests, dtype))
    for op in ("Div", "Mod"):
        with pytest.raises(ValueError, match="by zero"):
            run(op, [a, np.zeros(40, dtype)])


@pytest.mark.parametrize("dtype", EVERY)
def test_choices_and_copies(dtype):
    a, b = values(dtype, (6, 35)), values(dtype, (35,))
    chosen = values(np.int8, (6, 35)) > 0
    check(run("Where", [chosen, a, b])[0], np.where(chosen, a, b))
    check(run("Min", [a, b])[0], np.minimum(a, b))
    check(run("Max", [a, b])[0], np.maximum(a, b))
    check(run("Transpose", [a], {"perm": [1, 0]})[0], np.ascontiguousarray(a.T))
    check(run("Concat", [a, a[:2]], {"axis": 0})[0], np.concatenate([a, a[:2]]))
    check(run("Gather", [a, np.array([5, 0])], {"axis": 1})[0], a[:, [5, 0]])


@pytest.mark.parametrize("to", EVERY)
@pytest.mark.parametrize("dtype", EVERY)
def test_casts_between_integers_wrap(dtype, to):
    x = values(dtype, (77,))
    codes = dict(zip(EVERY, (3, 5, 6, 7, 2, 4, 12, 13), strict=True))
    check(run("Cast", [x], {"to": codes[to]})[0], x.astype(to))


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "sentence"),
    [
        ("BitwiseAnd", [np.float32([1]), np.float32([1])], {}, "must be an integer, found float32"),
        ("BitwiseNot", [np.array([True])], {}, "must be an integer, found bool"),
        ("BitwiseOr", [np.int8([1]), np.int16([1])], {}, "int16"),
        ("BitShift", [np.float32([1]), np.float32([1])], {"direction": "LEFT"}, "an integer"),
        ("BitShift", [np.uint8([1]), np.uint8([1])], {"direction": "UP"}, "LEFT or RIGHT"),
    ],
)
def test_refusals(op, inputs, attrs, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(op, inputs, attrs)
