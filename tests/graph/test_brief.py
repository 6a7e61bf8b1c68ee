"""Long names are cut where they are much of a model, and nothing else changes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pycompress.graph import export, with_brief_names
from pycompress.graph.brief import LONG
from pycompress.readers import read

LAYER = "model_1/block_3/conv2d/BiasAdd;model_1/block_3/conv2d/ReadVariableOp"


def chain(width):
    """Two layers, and a condition whose branches read the first one's result."""
    names = [f"{LAYER}/{i}" for i in range(3)]
    branch = [
        helper.make_graph(
            [helper.make_node(op, [names[1]], [f"{LAYER}/{op}"], f"{LAYER}/{op}")],
            op,
            [],
            [helper.make_tensor_value_info(f"{LAYER}/{op}", TensorProto.FLOAT, None)],
        )
        for op in ("Relu", "Neg")
    ]
    nodes = [
        helper.make_node("MatMul", [f"x{LAYER}", names[0]], [names[1]], names[1]),
        helper.make_node(
            "If", ["c"], [names[2]], "if", then_branch=branch[0], else_branch=branch[1]
        ),
        helper.make_node("Identity", [names[2]], [f"y{LAYER}"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info(f"x{LAYER}", TensorProto.FLOAT, [1, width]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info(f"y{LAYER}", TensorProto.FLOAT, [1, width])],
        [numpy_helper.from_array(np.eye(width, dtype=np.float32), names[0])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def names_of(proto):
    graphs = [proto.graph]
    for node in proto.graph.node:
        graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    for graph in graphs:
        for node in graph.node:
            yield from (node.name, *node.input, *node.output)


@pytest.mark.parametrize("condition", [True, False])
def test_a_model_of_names_gets_shorter_ones(condition):
    proto = chain(8)
    graph = read(proto)
    before = export(graph)
    after = export(with_brief_names(graph))
    assert export(graph) == before
    assert {v.name for v in (*after.graph.input, *after.graph.output)} == {
        f"x{LAYER}",
        "c",
        f"y{LAYER}",
    }
    inner = set(names_of(after)) - {f"x{LAYER}", f"y{LAYER}"}
    assert max(map(len, inner)) <= LONG
    assert len(after.SerializeToString()) < 0.7 * len(before.SerializeToString())
    onnx.checker.check_model(after, full_check=True)
    x = np.arange(8, dtype=np.float32)[None] - 3
    for made in (proto, after):
        session = onnxruntime.InferenceSession(made.SerializeToString())
        (y,) = session.run(None, {f"x{LAYER}": x, "c": np.array(condition)})
        np.testing.assert_array_equal(y, np.maximum(x, 0) if condition else -x)


def test_names_that_are_little_beside_the_weights_stay():
    graph = read(chain(96))
    assert export(with_brief_names(graph)) == export(graph)
