"""Circular and hyperbolic functions and their inverses, IsNaN and IsInf, in the native program."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import run

FUNCTIONS = {
    "Tan": np.tan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Atan": np.arctan,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan, 1e-30, 88.0, 710.0, 3e38]


def points(dtype):
    spread = np.random.default_rng(5).uniform(-3, 3, 500)
    return np.concatenate([SPECIAL, spread]).astype(dtype)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 6e-8), (np.float64, 1e-14)])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions(op, dtype, rtol):
    x = points(dtype)
    with np.errstate(all="ignore"):
        wanted = FUNCTIONS[op](x.astype(np.float64)).astype(dtype)
    found = run(op, [x])[0]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=0)
    assert run(op, [np.zeros((0, 3), dtype)])[0].shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_finite_number(dtype):
    x = points(dtype)
    np.testing.assert_array_equal(run("IsNaN", [x])[0], np.isnan(x))
    for negative in (0, 1):
        for positive in (0, 1):
            wanted = np.isinf(x) & np.where(x < 0, negative, positive).astype(bool)
            attrs = {"detect_negative": negative, "detect_positive": positive}
            np.testing.assert_array_equal(run("IsInf", [x], attrs)[0], wanted)


@pytest.mark.parametrize("op", ["Tan", "IsNaN", "IsInf"])
def test_integers_are_refused(op):
    with pytest.raises(ValueError, match="must be float32 or float64, found int32"):
        run(op, [np.array([1], np.int32)])
