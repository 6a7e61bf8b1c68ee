"""Simplifying changes the number of nodes and nothing else, not even its input."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from pycompress.graph import export, simplify
from pycompress.readers import read
from tests.graph.models import INT64, Model, assert_same, ops, run
from tests.graph.test_reader import branch


def simplified(m):
    """Simplify a model; check that it answers as before, and that once is enough."""
    proto = m.proto()
    graph = read(proto)
    before = [(n.op, [v and v.name for v in n.inputs]) for n in graph.nodes]
    simple = simplify(graph)
    assert before == [(n.op, [v and v.name for v in n.inputs]) for n in graph.nodes]
    written = export(simple)
    assert_same(run(written, m.feeds), run(proto, m.feeds))
    assert ops(simplify(simple)) == ops(simple)
    assert [v.name for v in simple.outputs] == [v.name for v in graph.outputs]
    return simple


def test_arithmetic_on_constants_is_done():
    m = Model()
    shape = m.node("Concat", m.const(np.int64([2])), m.const(np.int64([-1])), axis=0)
    shape = m.node("Mul", shape, m.const(np.int64([1, 1])))
    m.output(m.node("Reshape", m.input("x", [4, 3]), shape))
    assert ops(simplified(m)) == ["Reshape"]


def test_sizes_that_are_fixed_are_constants():
    m = Model()
    x = m.input("x", ["n", 6])
    columns = m.node("Gather", m.node("Shape", x), m.const(np.int64([1])))
    target = m.node("Concat", m.const(np.int64([-1])), columns, m.const(np.int64([1])), axis=0)
    m.output(m.node("Reshape", x, target))
    assert ops(simplified(m)) == ["Reshape"]


def test_sizes_that_vary_stay():
    m = Model()
    x = m.input("x", ["n", 6])
    rows = m.node("Gather", m.node("Shape", x), m.const(np.int64([0])))
    m.output(m.node("Concat", rows, m.const(np.int64([7])), axis=0), kind=INT64)
    assert "Shape" in ops(simplified(m))


@pytest.mark.parametrize("op", ["Expand", "Tile", "ConstantOfShape"])
def test_nothing_large_is_made_of_something_small(op):
    m = Model()
    x = m.input("x", [300, 300])
    number, shape = m.const(np.ones((1, 1), np.float32)), m.const(np.int64([300, 300]))
    large = m.node(op, shape) if op == "ConstantOfShape" else m.node(op, number, shape)
    m.output(m.node("Add", x, large))
    assert sum(v.array().nbytes for v in simplified(m).constants()) < 1000


def test_a_tied_weight_is_not_doubled_by_transposing_it():
    m = Model()
    w = m.weights(200, 200)
    x = m.node("MatMul", m.input("x", [2, 200]), w)
    m.output(m.node("MatMul", x, m.node("Transpose", w, perm=[1, 0])))
    assert ops(simplified(m)) == ["MatMul", "Transpose", "MatMul"]


def test_a_weight_of_one_reader_is_transposed():
    m = Model()
    w = m.node("Transpose", m.weights(200, 200), perm=[1, 0])
    m.output(m.node("MatMul", m.input("x", [2, 200]), w))
    assert ops(simplified(m)) == ["MatMul"]


def standardized(m, weight):
    """A weight less its mean by its deviation, as scaled convolutions have it."""
    rows = m.node("Reshape", weight, m.const(np.int64([1, 256, -1])))
    axes = {"axes": [0, 2]}
    mean, flat = m.node("ReduceMean", rows, keepdims=1, **axes), {"keepdims": 0, **axes}
    centred = m.node("Sub", rows, mean)
    variance = m.node("ReduceMean", m.node("Mul", centred, centred), **flat)
    parts = [m.const(np.ones(256, np.float32)), m.const(np.zeros(256, np.float32))]
    mean = m.node("ReduceMean", rows, **flat)
    scaled = m.node("BatchNormalization", rows, *parts, mean, variance)
    return m.node("Reshape", scaled, m.const(np.int64([256, 32, 3, 3])))


def normed(m, weight):
    """A direction and its length (`torch.nn.utils.weight_norm`)."""
    length = m.node("ReduceL2", weight, axes=[1, 2, 3], keepdims=1)
    return m.node("Mul", weight, m.node("Div", m.const(m.random(256, 1, 1, 1)), length))


def reordered(m, weight):
    """Parts in another order, as exporters put the gates of an LSTM."""
    at = [m.const(np.int64([i])) for i in (0, 64, 160, 256)]
    parts = [m.node("Slice", weight, a, b, at[0]) for a, b in zip(at, at[1:], strict=False)]
    return m.node("Concat", parts[2], parts[0], parts[1], axis=0)


@pytest.mark.parametrize("computed", [standardized, normed, reordered])
def test_a_weight_that_the_model_computes_from_one_of_its_size_is_a_constant(computed):
    m = Model()
    weight = m.weights(256, 32, 3, 3)  # larger than what is folded in any case
    m.output(m.node("Conv", m.input("x", [1, 32, 5, 5]), computed(m, weight)))
    simple = simplified(m)
    assert ops(simple) == ["Conv"]
    assert simple.nodes[0].inputs[1].const.nbytes == 256 * 32 * 9 * 4


def test_parts_of_a_weight_that_is_read_whole_are_not_put_together():
    m = Model()
    weight = m.weights(256, 32, 3, 3)
    x = m.input("x", [1, 32, 5, 5])
    m.output(m.node("Conv", x, reordered(m, weight)), m.node("Conv", x, weight))
    assert ops(simplified(m)).count("Slice") == 3


def test_integers_are_not_turned_into_floats():
    m = Model()
    w = m.node("DequantizeLinear", m.const(np.ones((9, 9), np.int8)), m.number(0.5))
    m.output(m.node("MatMul", m.input("x", [2, 9]), w))
    assert ops(simplified(m)) == ["DequantizeLinear", "MatMul"]


def test_errors_are_left_to_the_runtime():
    m = Model()
    bad = m.node("Div", m.const(np.int64([1])), m.const(np.int64([0])))
    m.output(m.node("Add", bad, m.input("x", [1], np.int64([1]), kind=INT64)), kind=INT64)
    assert ops(simplify(read(m.proto()))) == ["Div", "Add"]


NO_OPS = {
    "Identity": lambda m, x: m.node("Identity", x),
    "Dropout": lambda m, x: m.node("Dropout", x),
    "Cast": lambda m, x: m.node("Cast", x, to=TensorProto.FLOAT),
    "Pad": lambda m, x: m.node("Pad", x, m.const(np.zeros(6, np.int64))),
    "Transpose": lambda m, x: m.node("Transpose", x, perm=[0, 1, 2]),
    "Transposes": lambda m, x: m.node(
        "Transpose", m.node("Transpose", x, perm=[2, 0, 1]), perm=[1, 2, 0]
    ),
    "Reshape": lambda m, x: m.node("Reshape", x, m.const(np.int64([0, 3, -1]))),
    "Reshapes": lambda m, x: m.node("Reshape", m.node("Flatten", x), m.const(np.int64([-1, 3, 4]))),
    "Expand": lambda m, x: m.node("Expand", x, m.const(np.int64([1, 3, 4]))),
    "Slice": lambda m, x: m.node(
        "Slice", x, m.const(np.int64([0])), m.const(np.int64([2**31 - 1])), m.const(np.int64([0]))
    ),
    "Concat": lambda m, x: m.node("Concat", x, axis=0),
    "Mul": lambda m, x: m.node("Mul", m.number(1), x),
    "Add": lambda m, x: m.node("Add", x, m.const(np.zeros((1, 4), np.float32))),
    "Sub": lambda m, x: m.node("Sub", x, m.number(0)),
    "Div": lambda m, x: m.node("Div", x, m.number(1)),
}


@pytest.mark.parametrize("where", ["inside", "at the end"])
@pytest.mark.parametrize("name", NO_OPS)
def test_no_ops_go(name, where):
    m = Model()
    x = m.node("Abs", m.input("x", ["n", 3, 4]))
    y = NO_OPS[name](m, x)
    m.output(m.node("Neg", y) if where == "inside" else y)
    assert ops(simplified(m)) == (["Abs", "Neg"] if where == "inside" else ["Abs"])


LOOK_ALIKES = {
    "reversal": lambda m, x: m.node("Slice", x, *(m.const(np.int64([i])) for i in (3, -9, 2, -1))),
    "1 - x": lambda m, x: m.node("Sub", m.number(0), x),
    "1 / x": lambda m, x: m.node("Div", m.number(1), x),
    "more axes": lambda m, x: m.node("Mul", x, m.const(np.ones((1, 1, 1, 1), np.float32))),
    "reshape": lambda m, x: m.node("Reshape", x, m.const(np.int64([0, 4, 3]))),
    "0 of the one in between": lambda m, x: m.node(
        "Reshape", m.node("Flatten", x), m.const(np.int64([0, 4, 3]))
    ),
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_what_only_looks_like_a_no_op_stays(name):
    m = Model()
    m.output(m.node("Neg", LOOK_ALIKES[name](m, m.node("Abs", m.input("x", ["n", 3, 4])))))
    assert len(simplified(m).nodes) >= 3


def test_an_input_that_is_returned_keeps_both_names():
    m = Model()
    m.output(m.node("Identity", m.input("x", [3])))
    assert ops(simplified(m)) == ["Identity"]


def test_one_value_returned_twice():
    m = Model()
    x = m.node("Abs", m.input("x", [3]))
    m.output(m.node("Identity", x), m.node("Identity", x))
    simplified(m)


def test_equal_constants_are_one():
    m = Model()
    w = m.random(30, 30)
    x = m.node("MatMul", m.input("x", [2, 30]), m.const(w))
    m.output(m.node("MatMul", m.node("Relu", x), m.const(w.copy())))
    graph = simplified(m)
    assert len(list(graph.constants())) == 1


@pytest.mark.parametrize(
    "other", [np.float32([-0.0, 1]), np.float64([0.0, 1]), np.float32([[0.0, 1]])]
)
def test_constants_that_differ_in_bits_type_or_shape_are_two(other):
    m = Model()
    x = m.input("x", [2])
    y = m.node("Div", x, m.const(np.float32([0.0, 1])))
    z = (
        m.node("Div", m.node("Cast", x, to=TensorProto.DOUBLE), m.const(other))
        if other.dtype == np.float64
        else m.node("Div", x, m.const(other))
    )
    m.output(y)
    m.output(z, kind=TensorProto.DOUBLE if other.dtype == np.float64 else TensorProto.FLOAT)
    assert len(list(simplify(read(m.proto())).constants())) == 2


def test_equal_computations_are_one():
    m = Model()
    x = m.input("x", [2, 3])
    a, b = (m.node("ReduceMean", x, axes=[1]) for _ in range(2))
    m.output(m.node("Add", m.node("Sub", x, a), m.node("Mul", x, b)))
    assert ops(simplified(m)).count("ReduceMean") == 1


def test_random_numbers_are_drawn_twice():
    m = Model()
    a, b = (m.node("RandomNormal", shape=[3]) for _ in range(2))
    m.output(m.node("Add", m.node("Sub", a, b), m.input("x", [3])))
    assert ops(simplify(read(m.proto()))).count("RandomNormal") == 2


@pytest.mark.parametrize("condition", [True, False])
def test_a_known_condition_takes_its_branch(condition):
    m = Model()
    m.input("x", [3])
    m.output(
        m.node(
            "Neg",
            m.node(
                "If",
                m.const(np.array(condition)),
                then_branch=branch("a", 2),
                else_branch=branch("b", 3),
            ),
        )
    )
    assert ops(simplified(m)) == ["Mul", "Neg"]


def test_branches_are_simplified():
    m = Model()
    m.input("x", [3])
    m.input("c", [], np.array(True), kind=TensorProto.BOOL)
    then, other = branch("a", 2), branch("b", 3)
    then.node.insert(0, helper.make_node("Identity", ["x"], ["same"]))
    then.node[1].input[0] = "same"
    m.output(m.node("If", "c", then_branch=then, else_branch=other))
    (conditional,) = simplified(m).nodes
    assert [ops(sub) for sub in conditional.subgraphs()] == [["Mul"], ["Mul"]]


def test_dead_nodes_go():
    m = Model()
    x = m.input("x", [3])
    m.node("Exp", m.node("Neg", x))
    m.output(m.node("Abs", x))
    assert ops(simplified(m)) == ["Abs"]


def test_broadcasting_operators_need_no_expand():
    m = Model()
    x = m.input("x", ["n", 3, 4])
    mean = m.node("ReduceMean", x, axes=[1])
    shape = m.node("Shape", x)
    m.output(m.node("Sub", x, m.node("Expand", mean, shape)))
    assert ops(simplified(m)) == ["ReduceMean", "Sub"]
