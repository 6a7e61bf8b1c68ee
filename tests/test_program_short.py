"""Operators whose last axis is short: units and pairs that are moved as one, against onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import Case

RNG = np.random.default_rng(11)


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def integers(*shape, dtype=np.int64):
    return np.asarray(RNG.integers(0, 99, shape), dtype)


def i64(*values):
    return np.array(values, np.int64)


def cases():
    # elements of 1, 2, 4, 8 and 16 bytes once the last axis is one
    for x in (f32(4, 3, 5, 2), integers(4, 3, 5, 2, dtype=np.uint8), integers(2, 1, 7, 4) > 50):
        yield Case("Transpose", [x], {"perm": [0, 2, 1, 3]})
        yield Case("Transpose", [x], {"perm": [2, 0, 1, 3]})
        half = x[..., : x.shape[-1] // 2].copy()
        yield Case("Concat", [half, x, half], {"axis": -1})
        yield Case("Split", [x], {"axis": -1, "num_outputs": 2}, outputs=2)
    rows = [integers(1500, n) for n in (1, 3, 2, 1)]  # more than one piece
    yield Case("Concat", rows, {"axis": 1})
    whole = np.concatenate(rows, 1)
    yield Case("Split", [whole, i64(3, 4)], {"axis": 1}, outputs=2, constants=(1,))
    for mode in ("constant", "edge", "reflect", "wrap"):
        for shape in ((2, 3, 4, 5), (2, 3, 4, 1)):
            pads = i64(1, 2, 0, 0, 0, 1, 0, 0)
            yield Case("Pad", [f32(*shape), pads], {"mode": mode}, constants=(1,))
    yield Case("Pad", [f32(3, 5, 2), i64(0, 1, 0, 0, 2, 0), np.float32(1.5)], constants=(1,))
    for op in ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare"):
        for n in (2, 7, 8):  # on both sides of what is worth a kernel's call
            yield Case(f"Reduce{op}", [f32(5, n), i64(1)], constants=(1,), rtol=1e-5)


CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c}" for i, c in enumerate(CASES)])
def test_equals_reference(case):
    case.check()
