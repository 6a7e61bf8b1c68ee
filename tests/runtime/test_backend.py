"""The ONNX backend face."""

import numpy as np
import pytest
from onnx import helper

from pycompress import backend

A, B = np.float32([[1, 2, 3]]), np.float32([[3, 5, -7]])


@pytest.mark.parametrize(
    ("op", "attrs", "wanted"),
    [
        ("Add", {}, A + B),
        ("Less", {}, A < B),
        ("Concat", {"axis": 0}, np.concatenate([A, B])),
        ("Gemm", {"transB": 1, "alpha": 0.5}, 0.5 * A @ B.T),
    ],
)
def test_run_node(op, attrs, wanted):
    node = helper.make_node(op, ["a", "b"], ["c"], **attrs)
    for inputs in ([A, B], {"b": B, "a": A}):
        outputs = backend.run_node(node, inputs)
        np.testing.assert_array_equal(outputs.c, wanted)
        assert outputs.c.dtype == wanted.dtype


def test_run_model_takes_one_array_a_list_or_a_dict():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", 1, [1, 3])],
        [value("y", 1, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    for inputs in (B, [B], {"x": B}):
        np.testing.assert_array_equal(backend.run_model(model, inputs)[0], np.maximum(B, 0))


def test_devices():
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:0")
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    with pytest.raises(ValueError, match="found 'CUDA'"):
        backend.prepare(model, "CUDA")
