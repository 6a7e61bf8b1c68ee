"""Conv, ConvTranspose and what stands around them become one node, exactly."""

import numpy as np
import pytest

from pycompress.graph import simplify, to_formats
from pycompress.readers import read
from tests.graph.models import Model, ops, reason, rewritten

SPATIAL = {1: [9], 2: [9, 8], 3: [5, 6, 4]}


def batch_norm(m, x, channels):
    parts = [m.weights(channels) for _ in range(3)]
    variance = m.const(np.abs(m.random(channels)) + np.float32(0.1))
    return m.node("BatchNormalization", x, *parts, variance, epsilon=1e-3)


@pytest.mark.parametrize("axes", SPATIAL)
@pytest.mark.parametrize("group", [1, 2])
def test_conv_of_each_rank(axes, group):
    m = Model()
    x = m.input("x", ["n", 4, *SPATIAL[axes]])
    w = m.weights(6, 4 // group, *[3] * axes)
    m.output(
        m.node("Conv", x, w, m.weights(6), group=group, pads=[1] * 2 * axes, strides=[2] * axes)
    )
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv"]
    attrs = rewrite.graph.nodes[0].attrs
    assert attrs["dilations"] == [1] * axes
    assert attrs["auto_pad"] == "NOTSET"


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(auto_pad):
    m = Model()
    m.output(m.node("Conv", m.input("x", [1, 2, 7, 7]), m.weights(3, 2, 2, 2), auto_pad=auto_pad))
    assert ops(rewritten(m).graph) == ["conv"]


@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose_with_all_that_follows(group):
    m = Model()
    x = m.input("x", ["n", 4, 5, 5])
    y = m.node(
        "ConvTranspose",
        x,
        m.weights(4, 3, 3, 3),
        group=group,
        strides=[2, 2],
        output_padding=[1, 1],
    )
    m.output(m.node("Relu", batch_norm(m, y, 3 * group)))
    assert ops(rewritten(m).graph) == ["conv_transpose relu"]


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm(bias):
    m = Model()
    x = m.input("x", ["n", 3, 6, 6])
    y = m.node("Conv", x, m.weights(5, 3, 3, 3), *([m.weights(5)] if bias else []))
    m.output(batch_norm(m, y, 5))
    assert ops(rewritten(m).graph) == ["conv"]


@pytest.mark.parametrize("shape", [(), (1,), (5, 1, 1), (1, 5, 1, 1)])
@pytest.mark.parametrize("op", ["Mul", "Add", "Sub", "Div"])
def test_numbers_behind(op, shape):
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(5, 3, 3, 3))
    m.output(m.node(op, y, m.const(m.random(*shape) + np.float32(3))))
    assert ops(rewritten(m).graph) == ["conv"]


def test_numbers_along_another_axis_stay():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(4, 3, 3, 3))
    m.output(m.node("Mul", y, m.const(m.random(4))))  # along the last axis, which is 4 too
    assert ops(rewritten(m).graph) == ["conv", "Mul"]


def test_a_number_divided_by_the_result_stays():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(4, 3, 3, 3))
    m.output(m.node("Sub", m.number(2), y))
    assert ops(rewritten(m).graph) == ["conv", "Sub"]


def test_what_others_read_stays():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(4, 3, 3, 3))
    m.output(m.node("Add", batch_norm(m, y, 4), m.node("Sigmoid", y)))
    assert "BatchNormalization" in ops(rewritten(m).graph)


def test_infinite_factors_stay():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(2, 3, 3, 3))
    m.output(m.node("Mul", y, m.const(np.float32([np.inf, 1]).reshape(2, 1, 1))))
    assert ops(to_formats(simplify(read(m.proto()))).graph) == ["conv", "Mul"]


@pytest.mark.parametrize("axes", [None, [2, 3]])
def test_padding_in_front(axes):
    m = Model(opset=18)
    pads = [1, 2, 3, 0] if axes else [0, 0, 1, 2, 0, 0, 3, 0]
    named = (
        [m.const(np.int64(pads)), "", m.const(np.int64(axes))]
        if axes
        else [m.const(np.int64(pads))]
    )
    x = m.node("Pad", m.input("x", ["n", 3, 6, 6]), *named)
    m.output(m.node("Conv", x, m.weights(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv"]
    assert rewrite.graph.nodes[0].attrs["pads"] == [2, 3, 4, 1]


@pytest.mark.parametrize(
    ("pads", "value", "mode", "why"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], 2.0, "constant", "not of zeros"),
        ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect", "mode 'reflect'"),
        ([0, 0, -1, 1, 0, 0, 1, 1], 0.0, "constant", "crops"),
        ([0, 1, 1, 1, 0, 0, 1, 1], 0.0, "constant", "other axes"),
    ],
)
def test_other_paddings_stay(pads, value, mode, why):
    m = Model()
    x = m.node(
        "Pad", m.input("x", ["n", 3, 6, 6]), m.const(np.int64(pads)), m.number(value), mode=mode
    )
    channels = 4 if pads[1] else 3
    m.output(m.node("Conv", x, m.weights(4, channels, 3, 3), name="target"))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["Pad", "conv"]
    assert (
        why
    )  # the convolution takes its format all the same, and the padding stands in front of it


def test_residual_and_activation():
    m = Model()
    x = m.input("x", ["n", 4, "h", "w"])
    y = m.node("Conv", x, m.weights(4, 4, 3, 3), m.weights(4), pads=[1] * 4)
    m.output(m.node("Relu", m.node("Add", x, y)))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv relu"]
    assert rewrite.graph.nodes[0].inputs[3] is rewrite.graph.inputs[0]


def test_one_of_two_convolutions_takes_the_sum():
    m = Model()
    x = m.input("x", ["n", 4, "h", "w"])
    a = m.node("Conv", x, m.weights(6, 4, 3, 3), strides=[2, 2], pads=[1] * 4)
    b = m.node("Conv", x, m.weights(6, 4, 1, 1), strides=[2, 2])
    m.output(m.node("Relu", m.node("Add", a, b)))
    graph = rewritten(m).graph
    assert sorted(ops(graph)) == ["conv", "conv relu"]
    assert sum(node.input(3) is not None for node in graph.nodes) == 1


def test_a_sum_of_a_value_with_itself_stays():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 4, 5, 5]), m.weights(4, 4, 1, 1))
    m.output(m.node("Add", y, y))
    assert ops(rewritten(m).graph) == ["conv", "Add"]


def test_a_sum_that_broadcasts_stays():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 4, 5, 5]), m.weights(4, 4, 1, 1))
    m.output(m.node("Add", y, m.input("r", ["n", 4, 1, 1])))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv", "Add"]
    assert "not known to have the shape" in reason(rewrite, "Add")


def test_a_sum_behind_an_activation_stays():
    m = Model()
    x = m.input("x", ["n", 4, 5, 5])
    y = m.node("Relu", m.node("Conv", x, m.weights(4, 4, 1, 1)))
    m.output(m.node("Add", y, x))
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv relu", "Add"]
    assert "activation first" in reason(rewrite, "Add")


def test_a_result_that_the_model_returns_stays():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 4, 5, 5]), m.weights(4, 4, 1, 1))
    m.output(m.node("Relu", y), y)
    rewrite = rewritten(m)
    assert ops(rewrite.graph) == ["conv", "Relu"]
    assert "is an output of the graph" in reason(rewrite, "Relu")


def test_bias_and_activation_behind_a_squeeze():
    m = Model()
    x = m.node("Unsqueeze", m.input("x", ["n", 4, 9]), m.const(np.int64([3])))
    y = m.node("Squeeze", m.node("Conv", x, m.weights(6, 4, 3, 1)), m.const(np.int64([3])))
    m.output(m.node("Tanh", m.node("Add", y, m.const(m.random(1, 6, 1)))))
    assert ops(rewritten(m).graph) == ["Unsqueeze", "conv tanh", "Squeeze"]


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_computed_parts_are_refused(op):
    m = Model()
    x, w = m.input("x", [1, 4, 5, 5]), m.input("w", [4, 4, 3, 3])
    m.output(m.node(op, x, w))
    assert reason(rewritten(m), op) == "its weight 'w' is computed at run time"
    m = Model()
    x, b = m.input("x", [1, 4, 5, 5]), m.input("b", [4])
    m.output(m.node(op, x, m.weights(4, 4, 3, 3), b))
    assert reason(rewritten(m), op) == "its bias 'b' is computed at run time"


def test_output_shape_is_refused():
    m = Model()
    x = m.input("x", [1, 4, 5, 5])
    m.output(
        m.node("ConvTranspose", x, m.weights(4, 4, 3, 3), output_shape=[10, 10], strides=[2, 2])
    )
    assert "output_shape" in reason(rewritten(m), "ConvTranspose")
