"""Small models of the kinds that are compressed most: a block of a transformer, a GRU, a network of depthwise convolutions."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(seed, *shape):
    """Small numbers out of integers alone."""
    return (np.random.default_rng(seed).integers(-512, 513, shape) * 2.0**-12).astype(np.float32)


def model(nodes, x, y, constants):
    """One input `x`, one output `y`, of these shapes."""
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in nodes],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def encoder():
    """Attention of two heads and a layer of GELU, each with its residual and normalisation."""
    nodes = [("MatMul", ["x", f"w{n}"], [n], {}) for n in "qkv"]
    nodes += [("Reshape", [n, "heads"], [f"{n}r"], {}) for n in "qkv"]
    nodes += [("Transpose", [f"{n}r"], [f"{n}t"], {"perm": [0, 2, 1, 3]}) for n in "qv"]
    nodes += [
        ("Transpose", ["kr"], ["kt"], {"perm": [0, 2, 3, 1]}),
        ("MatMul", ["qt", "kt"], ["qk"], {}),
        ("Div", ["qk", "root"], ["scores"], {}),
        ("Softmax", ["scores"], ["p"], {"axis": -1}),
        ("MatMul", ["p", "vt"], ["pv"], {}),
        ("Transpose", ["pv"], ["pt"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["pt", "flat"], ["o"], {}),
        ("MatMul", ["o", "wo"], ["oo"], {}),
        ("Add", ["oo", "x"], ["a"], {}),
        ("LayerNormalization", ["a", "g", "b"], ["n"], {"epsilon": 1e-5}),
        ("MatMul", ["n", "w1"], ["h"], {}),
        ("Gelu", ["h"], ["e"], {}),
        ("MatMul", ["e", "w2"], ["f"], {}),
        ("Add", ["f", "n"], ["s"], {}),
        ("LayerNormalization", ["s", "g", "b"], ["y"], {"epsilon": 1e-5}),
    ]
    constants = {f"w{n}": weights(i, 48, 48) for i, n in enumerate("qkvo")}
    constants |= {
        "w1": weights(5, 48, 96), "w2": weights(6, 96, 48), "root": np.float32(4.5),
        "g": 1 + weights(7, 48), "b": weights(8, 48),
        "heads": np.array([0, 0, 2, 24]), "flat": np.array([0, 0, 48]),
    }  # fmt: skip
    return model(nodes, [1, 21, 48], [1, 21, 48], constants)


def gru():
    """A GRU and a classifier of its last state."""
    nodes = [
        ("GRU", ["x", "w", "r", "b"], ["", "h"], {"hidden_size": 40, "linear_before_reset": 1}),
        ("Squeeze", ["h", "zero"], ["s"], {}),
        ("Gemm", ["s", "c"], ["y"], {}),
    ]
    constants = {
        "w": weights(1, 1, 120, 35), "r": weights(2, 1, 120, 40), "b": weights(3, 1, 240),
        "c": weights(4, 40, 10), "zero": np.array([0]),
    }  # fmt: skip
    return model(nodes, [7, 1, 35], [1, 10], constants)


def depthwise():
    """Convolutions of which one is depthwise, HardSwish, and a gate of the channels."""
    nodes = [
        ("Conv", ["x", "w1"], ["c1"], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("HardSwish", ["c1"], ["h1"], {}),
        ("Conv", ["h1", "w2"], ["c2"], {"group": 24, "pads": [1, 1, 1, 1]}),
        ("GlobalAveragePool", ["c2"], ["g"], {}),
        ("Conv", ["g", "w3"], ["c3"], {}),
        ("HardSigmoid", ["c3"], ["gate"], {}),
        ("Mul", ["c2", "gate"], ["m"], {}),
        ("Conv", ["m", "w4"], ["c4"], {}),
        ("Relu", ["c4"], ["r"], {}),
        ("GlobalAveragePool", ["r"], ["p"], {}),
        ("Flatten", ["p"], ["y"], {}),
    ]
    constants = {
        "w1": weights(1, 24, 3, 3, 3), "w2": weights(2, 24, 1, 3, 3),
        "w3": weights(3, 24, 24, 1, 1), "w4": weights(4, 40, 24, 1, 1),
    }  # fmt: skip
    return model(nodes, [1, 3, 19, 22], [1, 40], constants)


MODELS = {"encoder": encoder, "gru": gru, "depthwise": depthwise}
