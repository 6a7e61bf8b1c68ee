"""Einsum of two operands runs as MatMul where it is one, and with a kernel of its own elsewhere."""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession

from .models import Model, assert_close, reference

PRODUCTS = {
    "bhqd,bhkd->bhqk": [(2, 3, 4, 5), (2, 3, 6, 5)],
    "bqhd,bkhd->bhqk": [(2, 4, 3, 5), (2, 6, 3, 5)],
    "bhqk,bkhd->bqhd": [(2, 3, 4, 6), (2, 6, 3, 5)],
    "bhwc,hkc->bhwk": [(2, 3, 4, 5), (3, 6, 5)],
    "hkc,bhwc->bhwk": [(3, 6, 5), (2, 3, 4, 5)],
    "ik,k->i": [(3, 4), (4,)],
    "k,kj->j": [(4,), (4, 5)],
    "k,k->": [(4,), (4,)],
    "bk,bk->b": [(3, 4), (3, 4)],
    "...ij,...jk->...ik": [(2, 3, 4, 5), (2, 3, 5, 6)],
    "...ij,kj->...ik": [(2, 3, 4, 5), (6, 5)],
}
OTHERS = {
    "ij,jk": [(3, 4), (4, 5)],
    "ij,ij->i": [(3, 4), (3, 4)],
    "ai,bj->abij": [(2, 3), (4, 5)],
    "ii,ij->ij": [(3, 3), (3, 4)],
    "ij,kj->i": [(3, 4), (5, 4)],
    "abij,cdjk->abcdik": [(2, 2, 3, 4), (2, 3, 4, 5)],
}


def session_of(equation, shapes, element=np.float32):
    m = Model()
    kind = {np.float32: 1, np.float64: 11}[element]
    names = [m.input(f"x{i}", s, kind) for i, s in enumerate(shapes)]
    m.output(m.node("Einsum", *names, equation=equation), kind)
    feeds = {
        n: m.rng.standard_normal(s).astype(element) for n, s in zip(names, shapes, strict=True)
    }
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    return {row.op for row in session.profile(feeds, repeats=1)}


@pytest.mark.parametrize("equation", PRODUCTS)
def test_a_product_is_a_matmul(equation):
    ran = session_of(equation, PRODUCTS[equation])
    assert ran & {"MatMul", "linear"}
    assert "Einsum" not in ran


@pytest.mark.parametrize("equation", OTHERS)
def test_others_have_a_kernel(equation):
    assert "Einsum" in session_of(equation, OTHERS[equation]) or equation == "ij,ij->i"


def test_float64_has_no_matmul():
    assert "Einsum" in session_of("ij,jk->ik", [(3, 4), (4, 5)], np.float64)
