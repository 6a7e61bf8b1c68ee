"""Rows of a table, however they are picked."""

import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.models import INT64, Model, ops, reason, rewritten


def indices(m, values, kind=INT64):
    dtype = np.int64 if kind == INT64 else np.int32
    array = np.array(values, dtype)
    return m.input("ids", list(array.shape), array, kind=kind)


@pytest.mark.parametrize("values", [3, [0, 6, -1, -7], [[1, 2], [3, 4]]])
def test_gather(values):
    m = Model()
    m.output(m.node("Gather", m.weights(7, 4), indices(m, values)))
    assert ops(rewritten(m).graph) == ["embedding"]


@pytest.mark.parametrize(
    ("table", "axis", "why"),
    [((7, 4), 1, "columns, not rows"), ((7, 4, 2), 0, "3 axes, not 2"), ((7,), 0, "1 axes, not 2")],
)
def test_other_gathers_are_refused(table, axis, why):
    m = Model()
    m.output(m.node("Gather", m.const(m.random(*table)), indices(m, [0, 1]), axis=axis))
    assert why in reason(rewritten(m), "Gather")


def test_computed_and_integer_tables_are_refused():
    m = Model()
    m.output(m.node("Gather", m.input("x", [4, 3]), indices(m, [0, 1])))
    assert "computed at run time" in reason(rewritten(m), "Gather")
    m = Model()
    m.output(m.node("Gather", m.const(np.arange(12).reshape(4, 3)), indices(m, [0])), kind=INT64)
    assert "int64, not float32" in reason(rewritten(m), "Gather")


@pytest.mark.parametrize("kind", [INT64, TensorProto.INT32])
def test_comparison_with_all_classes(kind):
    """What does not exist multiplies by zero there, and picks a row of zeros here."""
    m = Model()
    ids = indices(m, [[0, 6, 7, 1000], [-1, -7, 3, 2]], kind)
    column = m.node("Unsqueeze", ids, m.const(np.int64([2])))
    classes = np.arange(7, dtype=np.int64 if kind == INT64 else np.int32).reshape(1, 1, 7)
    hot = m.node("Cast", m.node("Equal", column, m.const(classes)), to=TensorProto.FLOAT)
    m.output(m.node("MatMul", hot, m.weights(7, 4)))
    graph = rewritten(m).graph
    assert ops(graph)[-1] == "embedding"
    assert "MatMul" not in ops(graph)


@pytest.mark.parametrize("classes", [[1, 2, 3], [0, 2, 1]])
def test_comparison_with_other_classes_stays(classes):
    m = Model()
    column = m.node("Unsqueeze", indices(m, [0, 1, 2]), m.const(np.int64([1])))
    hot = m.node(
        "Cast", m.node("Equal", column, m.const(np.int64([classes]))), to=TensorProto.FLOAT
    )
    m.output(m.node("MatMul", hot, m.weights(3, 4)))
    assert "embedding" not in ops(rewritten(m).graph)


def test_one_hot():
    m = Model()
    ids = indices(m, [[0, 6, 7], [-1, -7, -8]])
    hot = m.node("OneHot", ids, m.const(np.int64(7)), m.const(np.float32([0, 1])), axis=-1)
    m.output(m.node("MatMul", hot, m.weights(7, 4)))
    graph = rewritten(m).graph
    assert ops(graph)[-1] == "embedding"
    assert "OneHot" not in ops(graph)


@pytest.mark.parametrize(
    ("values", "depth", "axis"), [([0, 2], 7, -1), ([0, 1], 5, -1), ([0, 1], 7, 0)]
)
def test_other_encodings_stay(values, depth, axis):
    m = Model()
    ids = indices(m, list(range(5 if depth == 5 else 7)))
    hot = m.node("OneHot", ids, m.const(np.int64(depth)), m.const(np.float32(values)), axis=axis)
    m.output(m.node("MatMul", hot, m.weights(depth, 4)))
    graph = rewritten(m).graph
    assert "OneHot" in ops(graph) or depth == 5


def test_what_follows_is_computed_for_each_row():
    m = Model()
    rows = m.node("Gather", m.weights(7, 4), indices(m, [[0, 1, -1]]))
    m.output(m.node("Tanh", m.node("Add", rows, m.const(m.random(1, 1, 4)))))
    assert ops(rewritten(m).graph) == ["embedding"]


def test_tied_tables_are_left_as_they_are():
    m = Model()
    table = m.const(m.random(4, 4), "table")
    rows = m.node("Relu", m.node("Gather", table, indices(m, [0, 1])))
    m.output(m.node("MatMul", rows, table))
    graph = rewritten(m).graph
    assert ops(graph) == ["embedding", "Relu", "linear"]
    assert graph.nodes[0].inputs[0] is graph.nodes[2].inputs[1]
