"""What passes ask natively of nodes and values, held against its definition in Python."""

import numpy as np
import pytest

from pycompress import _core
from pycompress.graph.ir import WALKS, Graph, Node, Value
from pycompress.graph.pattern import _OTHERS
from pycompress.graph.shapes import Shapes

FLOAT = np.dtype(np.float32)


def value(name, shape=None, dtype=FLOAT, const=None):
    return Value(name, dtype, shape, const)


def chain(count):
    """x -> n0 -> n1 -> ..., each reading x, too."""
    x = value("x")
    before, nodes = x, []
    for i in range(count):
        nodes.append(Node("Add", [before, x], [value(f"v{i}")], name=f"n{i}"))
        before = nodes[-1].output
    return x, nodes


def with_body(captured):
    inner = Node("Neg", [captured], [value("inner")])
    body = Graph("body", [], [inner.output], [inner])
    return Node("If", [None], [value("out")], {"then_branch": body}, name="if")


def test_readers_are_in_order_and_each_stands_once():
    x, nodes = chain(3)
    twice = Node("Mul", [x, None, nodes[0].output, x], [value("twice")])
    inside = with_body(x)
    lists = WALKS.readers([*nodes, twice, inside], as_dicts=False)
    assert lists == {
        x: [*nodes, twice, inside],
        nodes[0].output: [nodes[1], twice],
        nodes[1].output: [nodes[2]],
    }
    dicts = WALKS.readers([*nodes, twice, inside], as_dicts=True)
    assert {v: list(found) for v, found in dicts.items()} == lists


def test_an_order_holds_what_the_roots_need_and_bodies_count():
    x, nodes = chain(3)
    inside = with_body(nodes[0].output)
    shuffled = [inside, nodes[2], nodes[0], nodes[1]]
    assert WALKS.order(shuffled, [inside]) == [nodes[0], inside]
    assert WALKS.order(shuffled, shuffled) == [nodes[0], inside, nodes[1], nodes[2]]
    assert WALKS.order(shuffled, [None, x.producer, nodes[1], nodes[0]]) == nodes[:2]
    assert WALKS.order(shuffled[:1], [inside]) == [inside]  # what it reads is of another graph
    assert not WALKS.in_order(shuffled)
    assert WALKS.in_order([*nodes, inside])


def test_a_cycle_is_named():
    _, nodes = chain(3)
    nodes[0].inputs[1] = nodes[2].output
    with pytest.raises(ValueError, match="cycle through node 'n2'"):
        WALKS.order(nodes, [nodes[2]])
    nodes[2].name = ""
    with pytest.raises(ValueError, match="cycle through node 'v2'"):
        WALKS.order(nodes, [nodes[2]])
    assert not WALKS.in_order(nodes)
    with pytest.raises(TypeError, match="Node is wanted, found Value"):
        WALKS.order([nodes[0].output], [nodes[0].output])
    with pytest.raises(TypeError, match="list is wanted, found str"):
        WALKS.readers([Node("Neg", "x", [value("y")])], as_dicts=True)


def test_surroundings_are_operators_and_what_else_an_input_is():
    x, nodes = chain(2)
    node = Node("Where", [None, x, nodes[1].output], [value("y")])
    const = value("c", (), FLOAT, np.zeros((), np.float32))
    node.inputs += [const, nodes[0].output]
    around = WALKS.surroundings(node, dict.fromkeys(nodes[1:]), _OTHERS)
    absent, constant, given = _OTHERS
    assert around == (("", "Where"), absent, given, ("", "Add"), constant, given)


def test_names_are_of_nodes_and_of_all_that_they_read_and_make():
    _, nodes = chain(2)
    taken = {"mine"}
    WALKS.names([*nodes, with_body(value("outer"))], taken)
    assert taken == {"mine", "x", "n0", "v0", "n1", "v1", "if", "outer", "out"}


SHAPES = (
    None, (), (1,), (3,), (2, 3), (1, 3), ("n", 3), ("n", 1), ("n", "m"), ("m", 3), (None, 3), (0, 3),
)  # fmt: skip


@pytest.mark.parametrize("declared", [None, (2, 3), ("n", 3), (None, 3)])
@pytest.mark.parametrize("op", ["Relu", "Add", "Where", "Equal"])
def test_what_is_settled_at_a_glance_is_what_the_rules_find(op, declared):
    for a in SHAPES:
        for b in SHAPES:
            made = []
            for glance in (True, False):
                inputs = [value("a", a), value("b", b), value("c", (2, 1))]
                count = {"Relu": 1, "Where": 3}.get(op, 2)
                node = Node(op, inputs[:count], [value("y", declared, None)])
                shapes = Shapes()
                shapes.begin(Graph("g", [], [], [node]))
                found = shapes.settle(node) if glance else shapes.visit(node)
                made.append((found, shapes.shape(node.output), node.output.shape))
            if made[0][0]:
                assert made[0][1:] == made[1][1:]
                assert node.output.shape is not None
                assert None not in node.output.shape
            else:
                assert made[0][1] == declared
                assert a != b or a is None or None in a or op == "Where"


def test_types_are_settled_and_integers_that_may_be_sizes_are_not():
    a, b = value("a", (2,)), value("b", (2,))
    for op, dtype in (("Add", FLOAT), ("Equal", np.dtype(np.bool_))):
        node = Node(op, [a, b], [value("y", None, None)])
        assert Shapes().settle(node)
        assert node.output.dtype == dtype
    a.dtype = b.dtype = np.dtype(np.int64)
    assert not Shapes().settle(Node("Add", [a, b], [value("y", None, None)]))
    a.dtype = None
    assert not Shapes().settle(Node("Relu", [a], [value("y", None, None)]))
    assert not Shapes().settle(Node("Relu", [b], [value("y")], domain="other"))
    assert not Shapes().settle(Node("Add", [b, None], [value("y")]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_weights_are_scaled_as_in_float64(axis):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(5, 4, 3)).astype(np.float32)
    scale = rng.normal(size=weight.shape[axis])
    wanted = np.moveaxis(np.moveaxis(weight.astype(np.float64), axis, -1) * scale, -1, axis)
    found, finite = _core.scaled(weight, scale, axis)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    assert finite
    for odd in (np.inf, -np.inf, np.nan, 1e300):
        scale[-1] = odd
        assert not _core.scaled(weight, scale, axis)[1]
    with pytest.raises(ValueError, match="scale has shape"):
        _core.scaled(weight, scale[1:], axis)


def test_bytes_are_viewed_where_they_are_aligned_and_copied_where_not():
    file = np.arange(64, dtype=np.uint8)
    for begin in range(16):
        array = _core.view_of(file, begin, begin + 24, FLOAT, [2, 3])
        np.testing.assert_array_equal(array.view(np.uint8).ravel(), file[begin : begin + 24])
        assert array.flags.aligned
        assert np.shares_memory(array, file) == ((file.ctypes.data + begin) % 4 == 0)
    assert _core.view_of(file, 0, 0, FLOAT, [3, 0]).shape == (3, 0)
    for dims in ([2, 2], [2, 4], [-2, -3], [2**62, 2**62], [0], []):
        assert _core.view_of(file, 0, 24, FLOAT, dims) is None
    file.flags.writeable = False
    assert not _core.view_of(file, 0, 4, FLOAT, [1]).flags.writeable
    for begin, end in ((-1, 3), (4, 3), (0, 65)):
        with pytest.raises(ValueError, match=f"bytes {begin} to {end} are not in the file"):
            _core.view_of(file, begin, end, FLOAT, [1])
