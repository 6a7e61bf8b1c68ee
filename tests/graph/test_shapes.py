"""Sizes are followed by name: what is computed in the same way is seen to be the same."""

import numpy as np
import onnx
import pytest
from hypothesis import given, strategies as st
from onnx import helper, shape_inference

from pycompress.graph import dims
from pycompress.graph.shapes import infer_shapes
from pycompress.readers import read
from tests.graph.models import Model


def shape_of(m):
    graph = read(m.proto())
    for value in [v for n in graph.nodes for v in n.outputs]:
        value.shape = None
    infer_shapes(graph)
    return graph.outputs[0].shape


def image(*shape):
    m = Model(18)
    return m, m.input(
        "x", list(shape), np.zeros([d if isinstance(d, int) else 2 for d in shape], np.float32)
    )


def test_two_ways_of_halving_agree():
    m, x = image("n", 3, "h", "w")
    a = m.node("Conv", x, m.weights(4, 3, 3, 3), strides=[2, 2], pads=[1] * 4)
    b = m.node("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2])
    m.output(m.node("Concat", a, b, axis=1))
    assert shape_of(m) == ("n", 7, "(h-1)//2+1", "(w-1)//2+1")


def test_a_residual_block_keeps_its_names():
    m, x = image("n", 4, None, "w")
    y = m.node("Conv", x, m.weights(4, 4, 3, 3), pads=[1] * 4)
    m.output(m.node("Relu", m.node("Add", m.node("Sigmoid", y), x)))
    assert shape_of(m) == ("n", 4, "x.2", "w")


def test_names_go_through_shape_arithmetic():
    m, x = image("n", 6, "t")
    sizes = m.node("Shape", x)
    n, t = (
        m.node("Slice", sizes, m.const(np.int64([i])), m.const(np.int64([i + 1]))) for i in (0, 2)
    )
    target = m.node("Concat", n, m.const(np.int64([2, 3])), t, axis=0)
    m.output(m.node("Transpose", m.node("Reshape", x, target), perm=[3, 0, 1, 2]))
    assert shape_of(m) == ("t", "n", 2, 3)


FIXED = {
    "Conv": lambda m, x: m.node(
        "Conv", x, m.weights(5, 6, 3, 2), strides=[2, 1], pads=[1, 0, 2, 1]
    ),
    "dilated": lambda m, x: m.node("Conv", x, m.weights(5, 6, 3, 2), dilations=[2, 3]),
    "same": lambda m, x: m.node(
        "Conv", x, m.weights(5, 6, 3, 2), strides=[2, 3], auto_pad="SAME_LOWER"
    ),
    "ConvTranspose": lambda m, x: m.node(
        "ConvTranspose", x, m.weights(6, 2, 3, 2), strides=[2, 3], group=2, output_padding=[1, 0]
    ),
    "AveragePool": lambda m, x: m.node("AveragePool", x, kernel_shape=[3, 2], strides=[2, 2]),
    "GlobalMaxPool": lambda m, x: m.node("GlobalMaxPool", x),
    "MatMul": lambda m, x: m.node("MatMul", x, m.weights(11, 3)),
    "Flatten": lambda m, x: m.node("Flatten", x, axis=-2),
    "Gather": lambda m, x: m.node("Gather", x, m.const(np.int64([[0, 1], [2, 3]])), axis=1),
    "Squeeze": lambda m, x: m.node("Squeeze", m.node("ReduceMax", x), m.const(np.int64([0, -1]))),
    "Unsqueeze": lambda m, x: m.node("Unsqueeze", x, m.const(np.int64([0, -1]))),
    "Expand": lambda m, x: m.node("Expand", x, m.const(np.int64([3, 1, 1, 1, 1]))),
    "ReduceSum": lambda m, x: m.node("ReduceSum", x, m.const(np.int64([1, -1])), keepdims=0),
    "Slice": lambda m, x: m.node(
        "Slice", x, *(m.const(np.int64(v)) for v in ([1, -1], [9, -99], [2, 3], [3, -2]))
    ),
    "Pad": lambda m, x: m.node(
        "Pad", x, m.const(np.int64([1, 2, 3, 4])), "", m.const(np.int64([1, 3]))
    ),
    "Resize": lambda m, x: m.node("Resize", x, "", m.const(np.float32([1, 1, 2, 3]))),
    "Split": lambda m, x: m.node("Split", x, outputs=2, axis=1, num_outputs=2)[1],
    "Where": lambda m, x: m.node("Where", m.const(np.ones((3, 1, 1, 1, 1), bool)), x, m.number(0)),
    "Reshape": lambda m, x: m.node("Reshape", x, m.const(np.int64([0, -1, 5]))),
}


@pytest.mark.parametrize("name", FIXED)
def test_fixed_sizes_are_those_of_onnx(name):
    m, x = image(2, 6, 10, 11)
    m.output(FIXED[name](m, x))
    inferred = shape_inference.infer_shapes(m.proto(), strict_mode=True, data_prop=True)
    wanted = tuple(d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim)
    assert shape_of(m) == wanted


number = st.integers(-6, 6)


@given(
    st.integers(1, 40), st.lists(st.tuples(st.sampled_from("+*/^"), st.integers(1, 5)), max_size=5)
)
def test_expressions_mean_what_they_say(size, steps):
    name, value = "h", size
    for op, operand in steps:
        apply = {"+": dims.plus, "*": dims.times, "/": dims.floor_divided, "^": dims.ceil_divided}[
            op
        ]
        name, value = apply(name, operand), apply(value, operand)
    assert eval(name, {"h": size}) == value


@given(number, number)
def test_offsets_add_up(a, b):
    assert dims.plus(dims.plus("h", a), b) == dims.plus("h", a + b)


def test_quotients():
    assert dims.quotient(["n", 4, "t"], ["n", 2]) == "(t)*2"
    assert dims.quotient([6, "n"], ["n"]) == 6
    assert dims.quotient([6], [4]) is None
    assert dims.quotient(["n"], ["t"]) is None
    assert dims.product(["b", "a"]) == dims.product(["a", "b"])
    assert dims.product([None, 2]) is None


def test_broadcast():
    assert dims.broadcast((3, 1), ("n", 1, 4)) == ("n", 3, 4)
    assert dims.broadcast(("n",), (5,)) == (5,)
    assert dims.broadcast(("n",), ("m",)) == (None,)
    assert dims.broadcast(("n",), None) is None


def test_a_contradiction_in_the_file_is_not_an_error():
    m, x = image("n", 3)
    m.output(m.node("Relu", x))
    model = m.proto()
    model.graph.value_info.append(
        helper.make_tensor_value_info("relu_0", onnx.TensorProto.FLOAT, [1, 2, 3])
    )
    assert read(model).outputs
