"""Small float models made by hand, and onnxruntime to run them as an independent judge."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pycompress.graph import Graph, export, simplify, to_formats
from pycompress.readers import read


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        [constant(k, v) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made


def normal(seed, *shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def residual_cnn():
    """Two convolutions, an addition around the second, pooling, and a classifier of 10."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["s"]),
        helper.make_node("Relu", ["s"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["m"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "classify"),
    ]
    constants = {
        "w1": normal(1, 16, 3, 3, 3),
        "b1": normal(2, 16),
        "w2": normal(3, 16, 16, 3, 3),
        "b2": normal(4, 16),
        "w3": normal(5, 16, 10),
        "b3": normal(6, 10),
    }
    return model(nodes, [("x", TensorProto.FLOAT, ["n", 3, 8, 8])], [("y", ["n", 10])], constants)


def tokens():
    """An embedding with a row of -inf that is never asked for, a normalisation and two layers."""
    table = normal(1, 40, 64)
    table[7] = -np.inf
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], "words"),
        helper.make_node("LayerNormalization", ["e", "gain"], ["n"], axis=-1),
        helper.make_node("MatMul", ["n", "w1"], ["a"], "up"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "down"),
    ]
    constants = {
        "table": table,
        "gain": np.ones(64, np.float32),
        "w1": normal(2, 64, 96) * 3,
        "w2": normal(3, 96, 64),
    }
    return model(
        nodes, [("ids", TensorProto.INT64, ["n", "t"])], [("y", ["n", "t", 64])], constants
    )


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def sentences(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"ids": rng.integers(8, 40, (1, 5 + i % 4))} for i in range(count)]


def preset(proto):
    return to_formats(simplify(read(proto))).graph


def peer(graph_or_proto, outputs=()):
    """Run a graph or model in onnxruntime; `outputs` are values to return instead of its own."""
    proto = graph_or_proto
    if isinstance(graph_or_proto, Graph):
        graph = graph_or_proto.copy()
        if outputs:
            by_name = {v.name: v for v in graph.values()}
            graph.outputs = [by_name[name] for name in outputs]
        proto = export(graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feed: session.run(list(outputs) or None, dict(feed))
