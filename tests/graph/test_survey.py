"""What is seen of a graph at one walk, and shapes that are kept up with changes."""

import numpy as np
import pytest

from pycompress.graph.edit import Edit
from pycompress.graph.ir import Graph, Node, Quantized, Value
from pycompress.graph.shapes import infer_shapes
from pycompress.graph.survey import survey

FLOAT, INT = np.dtype(np.float32), np.dtype(np.int64)


def value(name, shape=None, dtype=FLOAT, const=None):
    return Value(name, dtype, shape, const)


def constant(name, array, dtype=None):
    return Value(name, dtype or array.dtype, array.shape, array)


def look(*inputs, out=None, op="Relu", **attrs):
    out = out or value("y", (1, "batch"))
    return survey([Node(op, list(inputs), [out], attrs)])


def test_operators_and_types_are_those_that_are_there():
    x, w = value("x", (1,)), constant("w", np.zeros(3, np.float64))
    first = Node("Add", [x, w, None], [value("y", (3,))])
    found = survey([first, Node("Cast", [first.output], [value("z", (3,), INT)], domain="other")])
    assert found.ops == {"Add", "Cast"}
    assert sorted(map(str, found.dtypes)) == ["float32", "float64", "int64"]
    assert found.typed
    assert found.sized
    assert not found.integers
    assert not found.foreign
    assert not found.nested


def test_what_is_not_typed():
    assert not look(value("x"), out=value("y", (1,), None)).typed
    assert None in look(value("x"), out=value("y", (1,), None)).dtypes
    assert not look(constant("w", np.zeros(3, np.float32), INT)).typed
    assert not look(Value("w", None, (3,), np.zeros(3, np.float32))).typed
    assert look(value("x", None, None)).typed  # an input of the graph: nothing follows for it


@pytest.mark.parametrize("shape", [None, (1, None), (1, "unk__3"), ("2*unk__?1",)])
def test_what_is_not_sized(shape):
    assert not look(value("x"), out=value("y", shape)).sized


def test_constants_that_are_no_arrays_of_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    zero = np.zeros((), np.int8)
    q = Quantized(np.zeros((2, 2), np.int8), np.float32(1), zero)
    assert look(Value("w", FLOAT, (2, 2), q)).integers
    assert look(constant("w", np.zeros(3, ml_dtypes.bfloat16))).foreign
    assert not look(constant("w", np.array(["text"], object))).foreign


def test_bodies_are_seen_and_not_looked_into():
    inner = Node("Neg", [value("x")], [value("inner", None, None)])
    body = Graph("body", [], [inner.output], [inner])
    found = look(value("c"), op="If", then_branch=body)
    assert found.nested
    assert found.ops == {"If"}
    assert found.typed


def test_what_is_no_node_is_refused():
    with pytest.raises(TypeError, match="Node is wanted"):
        survey([value("x")])


def reshaped():
    """x -> Reshape by sizes that a Neg computes -> Relu, read by an output."""
    x = value("x", (2, 6))
    sizes = constant("sizes", np.array([-3, -4], np.int64))
    target, y, z = value("target", None, INT), value("y"), value("z")
    nodes = [
        Node("Abs", [sizes], [target]),
        Node("Reshape", [x, target], [y]),
        Node("Relu", [y], [z]),
    ]
    return Graph("g", [x], [z], nodes)


def test_shapes_follow_what_becomes_constant():
    graph = reshaped()
    edit = Edit(graph)
    shapes = edit.shapes()
    target, y, z = (node.output for node in graph.nodes)
    assert shapes.shape(z) in {None, (None, None)}
    edit.make_constant(target, np.array([3, 4], np.int64))
    edit.finish()
    assert edit.shapes() is shapes
    assert shapes.shape(y) == shapes.shape(z) == z.shape == (3, 4)


def test_shapes_follow_what_reads_something_else():
    graph = reshaped()
    edit = Edit(graph)
    edit.shapes()
    reshape = graph.nodes[1]
    edit.set_inputs(reshape, [reshape.inputs[0], constant("t", np.array([12], np.int64))])
    edit.finish()
    assert edit.shapes().shape(graph.outputs[0]) == (12,)


def test_an_edit_takes_over_what_a_reader_knows_unless_nodes_changed():
    graph = reshaped()
    graph.known = known = infer_shapes(graph)
    assert graph.copy().known is None
    assert Edit(graph).shapes() is known
    assert graph.known is None
    graph.known = known = infer_shapes(graph)
    graph.nodes = list(graph.nodes)
    assert Edit(graph).shapes() is not known
