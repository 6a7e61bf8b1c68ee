"""Every instruction set gives the same bytes: shapes x signs x zero points x epilogues.

test_gemm.py holds each set against the definition; here the sets are held against each other.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pycompress as pc
from pycompress import _core
from tests.gemm_cases import integers

ISAS = pc.available_isas()
TYPES = (np.uint8, np.int8)
PAIRS = list(product(TYPES, TYPES))

pytestmark = pytest.mark.skipif(len(ISAS) < 2, reason="this CPU has one instruction set only")


def shapes():
    """Around the tiles of all sets at once: no set may treat its own edges in its own way."""
    tiles = [_core.gemm_tile(name) for name in ISAS]
    rows = sorted({1, *(mr + d for mr, _, _ in tiles for d in (0, 1))})
    columns = sorted({1, *(nr + d for _, nr, _ in tiles for d in (-1, 3))})
    depths = (1, 7, 64, 131)
    # Each size of each dimension at least twice, not every product of them.
    count = 2 * max(len(rows), len(columns), len(depths))
    return [
        (rows[i % len(rows)], columns[i % len(columns)], depths[(i * 5) % len(depths)])
        for i in range(count)
    ]


SHAPES = shapes()

# What the result is, and what becomes of a sum on its way there.
OUTPUTS = (
    {},
    {"y_scale": 0.21, "y_zero_point": 131, "y_dtype": "uint8"},
    {"y_scale": 0.21, "y_zero_point": -7, "y_dtype": "int8"},
)
ACTIVATIONS = (None, "relu", ("clip", -1.5, 2.25), ("leaky_relu", 0.1), "hard_swish")


class Product:
    """Operands of one product, and what each set makes of them."""

    def __init__(self, rng, shape, a_type, w_type, *, w_zero=False):
        m, n, k = self.shape = shape
        self.a, self.w = integers(rng, a_type, (m, k)), integers(rng, w_type, (k, n))
        self.scale = rng.uniform(0.0005, 0.01, n).astype(np.float32)
        self.bias = rng.standard_normal(n).astype(np.float32)
        self.w_zero = integers(rng, w_type, n) if w_zero else None
        self.a_zeros = (0, int(integers(rng, a_type, 1)[0]), integers(rng, a_type, m))
        self.a_scales = (0.02, 0.02, rng.uniform(0.01, 0.03, m).astype(np.float32))
        self.rng = rng

    def same(self, kernel, a, *arguments, **options):
        """Assert that kernel(a, packed, ...) gives the same bytes on every set; return them."""
        results = {}
        for name in ISAS:
            packed = _core.pack(self.w, self.scale, self.bias, self.w_zero, name)
            results[name] = kernel(a, packed, *arguments, **options)
        first = results[ISAS[0]]
        for name, result in results.items():
            differ = result.view(np.uint8) != first.view(np.uint8)
            assert not differ.any(), f"{name}, {self.shape}: {differ.sum()} bytes are other ones"
        return first

    def residual(self, output):
        m, n, _ = self.shape
        if "y_dtype" not in output:
            return {"residual": self.rng.standard_normal((m, n)).astype(np.float32)}
        residual = integers(self.rng, np.dtype(output["y_dtype"]), (m, n))
        return {"residual": residual, "residual_scale": 0.21, "residual_zero_point": 7}


@pytest.mark.parametrize("w_zero", [False, True], ids=["symmetric", "with zero points"])
@pytest.mark.parametrize(("a_type", "w_type"), PAIRS)
def test_sums(a_type, w_type, w_zero):
    rng = np.random.default_rng(21)
    for shape in SHAPES:
        work = Product(rng, shape, a_type, w_type, w_zero=w_zero)
        for zero in work.a_zeros:
            found = work.same(pc.qgemm, work.a, zero)
            assert found.dtype == np.int32


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("output", OUTPUTS, ids=lambda o: o.get("y_dtype", "float32"))
@pytest.mark.parametrize(("a_type", "w_type"), PAIRS)
def test_layers(a_type, w_type, output, activation):
    rng = np.random.default_rng(22)
    for index, shape in enumerate(SHAPES):
        work = Product(rng, shape, a_type, w_type, w_zero=index % 2 == 1)
        which = index % 3
        given = {"a_scale": work.a_scales[which], "a_zero_point": work.a_zeros[which]}
        extra = work.residual(output) if index % 2 else {}
        work.same(pc.qlinear, work.a, activation=activation, **given, **output, **extra)


@pytest.mark.parametrize("w_type", TYPES)
def test_float_in_and_out(w_type):
    rng = np.random.default_rng(23)
    for shape in SHAPES:
        work = Product(rng, shape, np.uint8, w_type)
        x = rng.standard_normal((shape[0], shape[2])).astype(np.float32)
        assert np.isfinite(work.same(pc.linear, x)).all()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_layer(data):
    a_type, w_type = data.draw(st.sampled_from(PAIRS))
    shape = tuple(data.draw(st.integers(1, limit)) for limit in (30, 140, 150))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    work = Product(rng, shape, a_type, w_type, w_zero=data.draw(st.booleans()))
    output = data.draw(st.sampled_from(OUTPUTS))
    which = data.draw(st.integers(0, 2))
    options = {
        "a_scale": work.a_scales[which],
        "a_zero_point": work.a_zeros[which],
        "activation": data.draw(st.sampled_from(ACTIVATIONS)),
        **output,
        **(work.residual(output) if data.draw(st.booleans()) else {}),
    }
    work.same(pc.qlinear, work.a, **options)
    work.same(pc.qgemm, work.a, work.a_zeros[which])
