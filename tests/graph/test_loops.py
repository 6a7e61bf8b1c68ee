"""What a loop carries along without changing it is read from outside."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.graph.models import INT64, Model, ops
from tests.graph.test_simplify import simplified

INFO = helper.make_tensor_value_info


def states(*kept, by_identity=False):
    """The nodes and results of a body that multiplies `s` with `w` and returns `kept` as they are."""
    nodes = [helper.make_node("MatMul", ["s", "w"], ["t"])]
    results = ["t"]
    for name in kept:
        if by_identity:
            nodes.append(helper.make_node("Identity", [name], [f"{name}_same"]))
        results.append(f"{name}_same" if by_identity else name)
    return nodes, results


def loop(m, initial, weight, *, by_identity=True):
    nodes, results = states("w", by_identity=by_identity)
    nodes.append(helper.make_node("Identity", ["c"], ["go"]))
    body = helper.make_graph(
        nodes,
        "body",
        [
            INFO("i", INT64, []),
            INFO("c", TensorProto.BOOL, []),
            INFO("s", TensorProto.FLOAT, [2, 4]),
            INFO("w", TensorProto.FLOAT, [4, 4]),
        ],
        [INFO("go", TensorProto.BOOL, []), *(INFO(r, TensorProto.FLOAT, None) for r in results)],
    )
    return m.node("Loop", m.const(np.int64(3)), "", initial, weight, outputs=2, body=body)


def scan(m, initial, weight, *, by_identity=True):
    nodes, results = states("w", by_identity=by_identity)
    nodes.append(helper.make_node("Add", ["t", "e"], ["seen"]))
    body = helper.make_graph(
        nodes,
        "body",
        [
            INFO("s", TensorProto.FLOAT, [2, 4]),
            INFO("w", TensorProto.FLOAT, [4, 4]),
            INFO("e", TensorProto.FLOAT, [4]),
        ],
        [INFO(r, TensorProto.FLOAT, None) for r in [*results, "seen"]],
    )
    return m.node(
        "Scan", initial, weight, m.const(m.random(5, 4)), outputs=3, num_scan_inputs=1, body=body
    )


def body_of(graph, op):
    (node,) = (n for n in graph.nodes if n.op == op)
    return node, node.attrs["body"]


# onnxruntime 1.32 answers zeros for a state that the body of a Scan returns without an Identity.
@pytest.mark.parametrize(
    ("make", "inputs", "by_identity"), [(loop, 3, False), (loop, 3, True), (scan, 2, True)]
)
def test_a_weight_that_is_carried_is_a_constant_of_the_body(make, inputs, by_identity):
    m = Model()
    made = make(m, m.input("x", [2, 4]), m.weights(4, 4), by_identity=by_identity)
    m.output(made[0], *made[2:], m.node("Relu", made[1]))
    node, body = body_of(simplified(m), "Loop" if make is loop else "Scan")
    assert len(node.inputs) == inputs
    (product,) = (n for n in body.nodes if n.op == "MatMul")
    assert product.inputs[1].const is not None


def test_a_state_that_changes_is_carried():
    m = Model()
    m.output(loop(m, m.input("x", [2, 4]), m.weights(4, 4))[0])
    node, _ = body_of(simplified(m), "Loop")
    assert node.inputs[2].name == "x"


def test_a_state_that_the_model_returns_stays():
    m = Model()
    m.output(*loop(m, m.input("x", [2, 4]), m.weights(4, 4)))
    node, _ = body_of(simplified(m), "Loop")
    assert len(node.inputs) == 4


def test_a_loop_that_changes_nothing_is_none():
    m = Model()
    _, w = loop(m, m.input("x", [2, 4]), m.weights(4, 4))
    m.output(m.node("Relu", w))
    assert "Loop" not in ops(simplified(m))


def test_what_only_an_idle_loop_reads_is_computed():
    m = Model()
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["go"])],
        "body",
        [
            INFO("i", INT64, []),
            INFO("c", TensorProto.BOOL, []),
            INFO("s", TensorProto.FLOAT, [2, 4]),
        ],
        [INFO("go", TensorProto.BOOL, []), INFO("s", TensorProto.FLOAT, [2, 4])],
    )
    x = m.node("Sigmoid", m.input("x", [2, 4]))
    m.output(m.node("Relu", m.node("Loop", m.const(np.int64(3)), "", x, body=body)))
    assert ops(simplified(m)) == ["Sigmoid", "Relu"]
