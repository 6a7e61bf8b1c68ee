"""Functions in many nodes become one, in every spelling; near misses stay."""

import math

import numpy as np
import pytest
from onnx import TensorProto

from pycompress.graph import export, simplify
from pycompress.graph.activations import Activation, Speller, compute, spell
from pycompress.graph.ir import Graph, Value
from pycompress.graph.names import Names
from pycompress.readers import read
from tests.graph.models import Model, assert_same, ops, rewritten, run


def halved(m, x, inner, spelling):
    shifted = m.node("Add", inner, m.number(1))
    match spelling:
        case 0:
            return m.node("Mul", m.node("Mul", x, shifted), m.number(0.5))
        case 1:
            return m.node("Mul", x, m.node("Mul", m.number(0.5), shifted))
        case 2:
            return m.node("Mul", m.node("Mul", x, m.number(0.5)), shifted)
    return m.node("Mul", m.node("Div", x, m.number(2)), shifted)


def erf(m, x, *, by_product):
    if by_product:
        return m.node("Erf", m.node("Mul", x, m.number(math.sqrt(0.5))))
    return m.node("Erf", m.node("Div", x, m.number(math.sqrt(2))))


def tanh(m, x, cube):
    factor = m.number(0.044715)
    match cube:
        case 0:
            y = m.node("Mul", factor, m.node("Pow", x, m.number(3)))
        case 1:
            y = m.node("Mul", factor, m.node("Mul", m.node("Mul", x, x), x))
        case _:
            y = m.node("Mul", x, m.node("Mul", x, m.node("Mul", factor, x)))
    return m.node("Tanh", m.node("Mul", m.node("Add", x, y), m.number(math.sqrt(2 / math.pi))))


@pytest.mark.parametrize("spelling", range(4))
@pytest.mark.parametrize("by_product", [False, True])
def test_gelu(spelling, by_product):
    m = Model()
    x = m.input("x", ["n", 5])
    m.output(halved(m, x, erf(m, x, by_product=by_product), spelling))
    assert ops(rewritten(m).graph) == ["activation gelu"]


@pytest.mark.parametrize("spelling", range(4))
@pytest.mark.parametrize("cube", range(3))
def test_gelu_by_tanh(spelling, cube):
    m = Model()
    x = m.input("x", ["n", 5])
    m.output(halved(m, x, tanh(m, x, cube), spelling))
    assert ops(rewritten(m).graph) == ["activation gelu_tanh"]


def test_silu():
    m = Model()
    x = m.input("x", ["n", 5])
    m.output(m.node("Mul", m.node("Sigmoid", m.node("Mul", x, m.number(1))), x))
    assert ops(rewritten(m).graph) == ["activation silu"]


@pytest.mark.parametrize("spelling", range(4))
def test_hard_swish(spelling):
    m = Model()
    x = m.input("x", ["n", 5], np.float32([[-4, -3, 0, 2, 3], [3.5, 1, -1, 0.5, -2.9]]))
    clipped = m.node("Clip", m.node("Add", x, m.number(3)), m.number(0), m.number(6))
    match spelling:
        case 0:
            y = m.node("Div", m.node("Mul", x, clipped), m.number(6))
        case 1:
            y = m.node("Mul", x, m.node("Mul", clipped, m.number(1 / 6)))
        case 2:
            y = m.node("Mul", m.node("Div", clipped, m.number(6)), x)
        case _:
            y = m.node("Mul", x, m.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    m.output(y)
    assert ops(rewritten(m).graph) == ["HardSwish"]


def test_hard_sigmoid():
    m = Model()
    x = m.node("Add", m.input("x", ["n", 5]), m.number(3))
    m.output(m.node("Div", m.node("Clip", x, m.number(0), m.number(6)), m.number(6)))
    assert ops(rewritten(m).graph) == ["HardSigmoid"]


@pytest.mark.parametrize("square", ["Pow", "Mul"])
def test_layer_norm(square):
    m = Model()
    x = m.input("x", ["n", 3, 8])
    centred = m.node("Sub", x, m.node("ReduceMean", x, axes=[-1]))
    power = (
        m.node("Pow", centred, m.number(2)) if square == "Pow" else m.node("Mul", centred, centred)
    )
    deviation = m.node("Sqrt", m.node("Add", m.node("ReduceMean", power, axes=[2]), m.number(1e-5)))
    scaled = m.node("Mul", m.node("Div", centred, deviation), m.const(m.random(8)))
    m.output(m.node("Add", scaled, m.const(m.random(1, 8))))
    assert ops(rewritten(m).graph) == ["LayerNormalization"]


@pytest.mark.parametrize(("axes", "keep"), [([1], 1), ([-1], 0)])
def test_other_norms_stay(axes, keep):
    m = Model()
    x = m.input("x", [8, 8, 8])
    centred = m.node("Sub", x, m.node("ReduceMean", x, axes=axes, keepdims=keep))
    variance = m.node("ReduceMean", m.node("Mul", centred, centred), axes=axes, keepdims=keep)
    deviation = m.node("Sqrt", m.node("Add", variance, m.number(1e-5)))
    scaled = m.node("Mul", m.node("Div", centred, deviation), m.const(m.random(8)))
    m.output(m.node("Add", scaled, m.const(m.random(8))))
    assert "LayerNormalization" not in ops(rewritten(m).graph)


@pytest.mark.parametrize("wrong", [0.04, 0.0447])
def test_other_numbers_stay(wrong):
    m = Model()
    x = m.input("x", ["n", 5])
    cube = m.node("Mul", m.number(wrong), m.node("Pow", x, m.number(3)))
    inner = m.node("Mul", m.node("Add", x, cube), m.number(math.sqrt(2 / math.pi)))
    m.output(halved(m, x, m.node("Tanh", inner), 0))
    assert "activation gelu_tanh" not in ops(rewritten(m).graph)


def test_what_others_read_stays():
    m = Model()
    x = m.input("x", ["n", 5])
    gate = m.node("Sigmoid", x)
    m.output(m.node("Mul", x, gate), gate)
    assert ops(rewritten(m).graph) == ["Sigmoid", "Mul"]


def test_a_number_that_adds_an_axis_stays():
    m = Model()
    x = m.input("x", [5])
    clipped = m.node("Clip", m.node("Add", x, m.number(3)), m.number(0), m.number(6))
    m.output(m.node("Div", m.node("Mul", x, clipped), m.const(np.full((1, 1), 6, np.float32))))
    assert "HardSwish" not in ops(rewritten(m).graph)


def test_other_element_types_stay():
    m = Model()
    x = m.input("x", [2, 5], m.random(2, 5).astype(np.float64), kind=TensorProto.DOUBLE)
    m.output(m.node("Mul", x, m.node("Sigmoid", x)), kind=TensorProto.DOUBLE)
    assert ops(rewritten(m).graph) == ["Sigmoid", "Mul"]


def test_softmax_of_an_old_model_is_one_node_once_the_rank_is_known():
    m = Model(12)
    x = m.node("Reshape", m.input("x", [2, 12]), m.const(np.int64([2, 3, 4])))
    m.output(m.node("Softmax", x, axis=2))
    assert ops(simplify(read(m.proto()))) == ["Reshape", "Softmax"]


ACTIVATIONS = [
    Activation("relu"),
    Activation("clip", -0.5, 1.5),
    Activation("clip", 0.0, math.inf),
    Activation("clip", -math.inf, 0.5),
    Activation("leaky_relu", 0.2),
    Activation("elu", 1.5),
    Activation("hard_sigmoid", 0.3, 0.4),
    Activation("hard_swish"),
    Activation("silu"),
    Activation("sigmoid"),
    Activation("tanh"),
    Activation("softplus"),
    Activation("gelu"),
    Activation("gelu_tanh"),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_computing_and_spelling_agree(activation):
    x = np.float32([-90, -5, -3, -1, -0.5, -0.0, 0, 0.1, 0.5, 1, 2.5, 3, 6, 90])
    value = Value("x", x.dtype, x.shape)
    graph = Graph("g", [value], [], [])
    speller = Speller(Names(graph).fresh, "y", np.dtype(np.float32))
    graph.outputs = [spell(activation, value, speller)]
    graph.outputs[0].shape = x.shape
    graph.nodes = speller.nodes
    assert_same(run(export(graph), {"x": x}), [compute(activation, x)])


def test_unknown_activations_are_errors():
    with pytest.raises(ValueError, match="no activation 'mish'"):
        compute(Activation("mish"), np.zeros(1, np.float32))
