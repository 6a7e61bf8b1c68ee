"""Small float models whose channels differ in size, and data for them."""

import numpy as np
from onnx import TensorProto, helper

from .models import model, normal

FLOAT = TensorProto.FLOAT


def sizes(count, seed=0):
    """Powers of two between 2**-7 and 1, in no order."""
    return np.exp2(-np.random.default_rng(seed).integers(0, 8, count)).astype(np.float32)


def separable():
    """A layer, one on each channel alone, one on all, pooling, a classifier: uneven between all."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "single", group=16, pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["c2"], ["r2"], alpha=0.1),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"], "mix"),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("MaxPool", ["r3"], ["m"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["y"], "classify"),
    ]
    first, second = sizes(16, 1), sizes(16, 2)
    constants = {
        "w1": normal(1, 16, 3, 3, 3) * first.reshape(-1, 1, 1, 1),
        "b1": normal(2, 16) * first,
        "w2": normal(3, 16, 1, 3, 3) * (second / first).reshape(-1, 1, 1, 1),
        "b2": normal(4, 16) * second,
        "w3": normal(5, 16, 16, 1, 1) / second.reshape(1, -1, 1, 1),
        "b3": normal(6, 16),
        "w4": normal(7, 64, 10),
        "b4": normal(8, 10),
    }
    return model(nodes, [("x", FLOAT, ["n", 3, 8, 8])], [("y", ["n", 10])], constants)


def inverted():
    """Two blocks whose results are added up: what they add up to is one stream."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "stem"),
        helper.make_node("Conv", ["c1", "w2"], ["e2"], "expand2"),
        helper.make_node("HardSwish", ["e2"], ["h2"]),
        helper.make_node("Conv", ["h2", "w3"], ["p2"], "project2"),
        helper.make_node("Add", ["c1", "p2"], ["s2"], "sum"),
        helper.make_node("Add", ["s2", "shift"], ["t2"], "bias"),
        helper.make_node("Conv", ["t2", "w4"], ["e3"], "expand3"),
        helper.make_node("Sigmoid", ["e3"], ["h3"]),
        helper.make_node("GlobalAveragePool", ["h3"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w5"], ["y"], "classify"),
    ]
    size = sizes(8, 3)
    constants = {
        "w1": normal(1, 8, 3, 1, 1) * size.reshape(-1, 1, 1, 1),
        "w2": normal(2, 24, 8, 1, 1) / size.reshape(1, -1, 1, 1),
        "w3": normal(3, 8, 24, 1, 1) * size.reshape(-1, 1, 1, 1),
        "shift": normal(4, 8).reshape(8, 1, 1) * size.reshape(-1, 1, 1),
        "w4": normal(5, 24, 8, 1, 1) / size.reshape(1, -1, 1, 1),
        "w5": normal(6, 24, 10),
    }
    return model(nodes, [("x", FLOAT, ["n", 3, 8, 8])], [("y", ["n", 10])], constants)


def transformer(after=False):
    """One layer of a transformer, its normalisations before (or after) the sums; some channels are
    far larger than the others."""
    width, heads = 64, 4
    outliers = np.ones(width, np.float32)
    outliers[[3, 40]] = 64.0

    def product(x, w, y):
        return helper.make_node("MatMul", [x, w], [y], y)

    def norm(x, at, y):
        return helper.make_node("LayerNormalization", [x, f"g{at}", f"o{at}"], [y], y, axis=-1)

    def split(x, y, perm):
        return [
            helper.make_node("Reshape", [x, "heads"], [f"{x}h"]),
            helper.make_node("Transpose", [f"{x}h"], [y], perm=perm),
        ]

    begin = [norm("x", 0, "n0")]
    read, summed = ("n0", "n0") if after else ("n0", "x")
    end = [helper.make_node("Add", [summed, "ob"], ["s"])]
    end += [norm("s", 1, "n1"), product("n1", "wu", "up"), helper.make_node("Relu", ["up"], ["r"])]
    end += [product("r", "wd", "down")]
    end += [helper.make_node("Add", ["n1" if after else "s", "down"], ["y"])]
    nodes = [
        *begin,
        *(product(read, f"w{i}", i) for i in "qkv"),
        helper.make_node("Add", ["v", "bv"], ["vb"]),
        *split("q", "qt", [0, 2, 1, 3]),
        *split("k", "kt", [0, 2, 3, 1]),
        *split("vb", "vt", [0, 2, 1, 3]),
        helper.make_node("MatMul", ["qt", "kt"], ["a"], "scores"),
        helper.make_node("Softmax", ["a"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "vt"], ["c"], "context"),
        helper.make_node("Transpose", ["c"], ["ct"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["ct", "wide"], ["cw"]),
        product("cw", "wo", "o"),
        helper.make_node("Add", ["o", "bo"], ["ob"]),
        *end,
    ]
    uneven = sizes(width, 5)
    constants = {
        "heads": np.array([1, -1, heads, width // heads]),
        "wide": np.array([1, -1, width]),
        "g0": outliers,
        "o0": normal(1, width),
        "g1": outliers[::-1].copy(),
        "o1": normal(2, width),
        "wq": normal(3, width, width) / outliers[:, None],
        "wk": normal(4, width, width) / outliers[:, None],
        "wv": normal(5, width, width) * uneven / outliers[:, None],
        "bv": normal(6, width) * uneven,
        "wo": normal(7, width, width) / uneven[:, None],
        "bo": normal(8, width),
        "wu": normal(9, width, 96) / outliers[::-1][:, None],
        "wd": normal(10, 96, width),
    }
    return model(nodes, [("x", FLOAT, [1, "t", width])], [("y", [1, "t", width])], constants)


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1, 5 + i % 4, 64)).astype(np.float32)} for i in range(count)]
