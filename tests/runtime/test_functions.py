"""Operators that the standard defines as functions run as what they are made of."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import pycompress as pc

X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)
CASES = {
    "Selu": (("Selu", ["x"], {"alpha": 1.5}), {"x": X}),
    "Shrink": (("Shrink", ["x"], {"lambd": 1.0, "bias": 0.5}), {"x": X}),
    "CastLike": (("CastLike", ["x", "like"], {}), {"x": X, "like": np.int32([1])}),
    "nested": (
        ("SoftmaxCrossEntropyLoss", ["x", "labels"], {"reduction": "mean"}),
        {"x": X, "labels": np.int64([[0, 1, 2, 0], [2, 1, 0, 0]])},
    ),
    "an optional input left out": (
        ("GroupNormalization", ["x", "scale", "bias"], {"num_groups": 3}),
        {"x": X, "scale": np.float32([1, 2, 3]), "bias": np.float32([0, 1, 0])},
    ),
    "empty": (("Mish", ["x"], {}), {"x": X[:0]}),
}


@pytest.mark.parametrize("name", CASES)
def test_runs_natively_as_the_reference_does(name):
    (op, inputs, attrs), feeds = CASES[name]
    node = helper.make_node(op, inputs, ["y"], **attrs)
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for k, v in feeds.items()
    ]
    output = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([node], "g", infos, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    session = pc.InferenceSession(model)
    assert session.fallbacks == []
    (found,) = session.run(None, feeds)
    (wanted,) = ReferenceEvaluator(onnx.shape_inference.infer_shapes(model)).run(None, feeds)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
