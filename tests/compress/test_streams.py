"""Where channels can be evened out, and that factors which are powers of two keep every bit."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from onnx import TensorProto, helper

from pycompress import InferenceSession
from pycompress.convert import even_out, find_streams, separate_residuals, verify_evened

from .models import model, normal, peer, preset
from .uneven import inverted, pictures, rows, separable, transformer

FLOAT = TensorProto.FLOAT


def graph_of(proto):
    return separate_residuals(preset(proto))


def places(proto):
    found, refused = find_streams(graph_of(proto))
    return {
        s.name: (s.kind, [site.node.name for site in s.readers], [n.name for n in s.whole])
        for s in found
    }, dict(refused)


def test_layers_hand_factors_on():
    found, refused = places(separable())
    assert found == {
        "first": ("equalize", ["single"], []),
        "single": ("equalize", ["mix"], []),
        "mix": ("equalize", ["classify"], []),
    }
    assert refused == {"classify": "it is an output of the model"}
    # a channel of the image is four elements of the vector
    assert find_streams(graph_of(separable()))[0][2].readers[0].repeat == 4


def test_what_is_added_up_has_the_same_factors():
    streams, refused = find_streams(graph_of(inverted()))
    assert [s.name for s in streams] == ["stem"]
    assert [s.node.name for s in streams[0].divided] == ["stem", "project2", "bias"]
    assert [s.node.name for s in streams[0].readers] == ["expand2", "expand3"]
    assert dict(refused)["expand2"] == "'hard_swish' does not let a factor through"
    assert dict(refused)["expand3"] == "'sigmoid' does not let a factor through"


def test_normalisations_and_attention_hand_factors_on():
    found, refused = places(transformer())
    assert found == {
        "n0": ("smooth", ["q", "k", "v"], []),
        "v": ("smooth", ["o"], []),
        "n1": ("smooth", ["up"], []),
        "up": ("equalize", ["down"], []),
    }
    assert "sums over the channels" in refused["q"]


def test_a_sum_behind_a_normalisation_gets_it_whole():
    found, _ = places(transformer(after=True))
    assert found["n0"] == ("smooth", ["q", "k", "v"], ["o"])
    assert found["n1"] == ("smooth", ["up"], ["down"])


def test_one_channel_is_refused_wherever_it_goes():
    constants = {"w": normal(1, 1, 1), "v": normal(2, 1, 1), "b": normal(3, 1)}
    constants |= {"apart": np.array([2, 7, 1, 1]), "together": np.array([2, 7, 1])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "a"),
        helper.make_node("Reshape", ["m", "apart"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "together"], ["s"]),
        helper.make_node("MatMul", ["s", "v"], ["y"], "b"),
    ]
    inputs, outputs = [("x", FLOAT, [2, 7, 1])], [("y", [2, 7, 1])]
    found, refused = places(model(nodes, inputs, outputs, constants))
    assert found == {}
    assert refused["a"] == "it has one channel"


def test_a_number_has_no_channels():
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "half"], ["h"]),
        helper.make_node("Sub", ["x", "h"], ["y"]),
    ]
    inputs, outputs = [("x", FLOAT, [2, 7])], [("y", [2, 7])]
    assert places(model(nodes, inputs, outputs, {"half": np.float32(0.5)})) == ({}, {})


def two(between, out=("y", ["n", 6, 8, 8]), names=("w", "v"), **constants):
    """Two convolutions and what stands between them, from c to r."""
    weights = {"w": normal(1, 6, 3, 1, 1), "v": normal(2, 6, 6, 1, 1), **constants}
    nodes = [
        helper.make_node("Conv", ["x", names[0]], ["c"], "a"),
        *between,
        helper.make_node("Conv", ["r", names[1]], [out[0]], "b"),
    ]
    return model(nodes, [("x", FLOAT, ["n", 3, 8, 8])], [out], weights)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("Relu", ["c"], {}),
        ("LeakyRelu", ["c"], {"alpha": 0.3}),
        ("PRelu", ["c", "slope"], {}),
        ("Abs", ["c"], {}),
        ("AveragePool", ["c"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("Sub", ["shift", "c"], {}),
        ("Mul", ["c", "slope"], {}),
        ("Div", ["c", "slope"], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_lets_factors_through_keeps_the_bits(op, inputs, attrs):
    constants = {"slope": np.full((6, 1, 1), 0.3, np.float32), "shift": normal(3, 6, 1, 1)}
    used = {name: constants[name] for name in inputs if name in constants}
    proto = two([helper.make_node(op, inputs, ["r"], "between", **attrs)], **used)
    assert_same_bits(graph_of(proto), pictures(2), lambda n: np.arange(n) % 11 - 10)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        ([("HardSwish", ["c"])], "'hard_swish' does not let a factor through"),
        ([("Clip", ["c", "low", "high"])], "'clip' does not let a factor through"),
        ([("Softmax", ["c"])], "Softmax 'between' reads it, which does not let a factor through"),
        ([("Mul", ["c", "c"])], "Mul 'between' squares it"),
        ([("Div", ["low", "c"])], "Div 'between' divides by it"),
        (
            [("Max", ["c", "low"])],
            "Max 'between' reads it, which does not let a factor through",
        ),
    ],
    ids=lambda value: value[0][0] if isinstance(value, list) else "",
)
def test_what_lets_no_factor_through_is_named(between, said):
    ((op, inputs),) = between
    constants = {"low": np.float32(-1), "high": np.float32(6)}
    used = {name: constants[name] for name in inputs if name in constants}
    nodes = [helper.make_node(op, inputs, ["r"], "between")]
    proto = two(nodes, **used)
    found, refused = places(proto)
    assert found == {}
    assert refused["a"] == said


def test_shared_weights_and_groups_stay_as_they_are():
    relu = [helper.make_node("Relu", ["c"], ["r"])]
    square = {"w": normal(1, 3, 3, 1, 1)}
    proto = two(relu, out=("y", ["n", 3, 8, 8]), names=("w", "w"), **square)
    del proto.graph.initializer[1]
    assert "something else reads the weights of" in places(proto)[1]["a"]
    proto = two(relu, v=normal(2, 6, 3, 1, 1))
    proto.graph.node[-1].attribute.append(helper.make_attribute("group", 2))
    assert places(proto)[1]["a"] == "'b' reads it in groups"


def assert_same_bits(graph, feeds, powers):
    """Hold the answers of an evened graph to those of the graph, here and in onnxruntime."""
    streams = find_streams(graph)[0]
    assert streams
    exponents = {s.key: tuple(int(p) for p in powers(s.channels)) for s in streams}
    evened = even_out(graph, exponents)
    verify_evened(graph, evened, exponents)
    sessions = [InferenceSession(g) for g in (graph, evened)]
    peers = [peer(g) for g in (graph, evened)]
    for feed in feeds:
        for before, after in ([s.run(None, feed) for s in sessions], [p(feed) for p in peers]):
            for a, b in zip(before, after):
                np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))
    return evened


@pytest.mark.parametrize(
    ("made", "data"),
    [
        (separable, pictures),
        (inverted, pictures),
        (transformer, rows),
        (lambda: transformer(after=True), rows),
    ],
    ids=["separable", "inverted", "before", "after"],
)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_powers_of_two_keep_every_bit(made, data, seed):
    rng = np.random.default_rng(seed)
    assert_same_bits(graph_of(made()), data(2, seed), lambda n: rng.integers(-10, 11, n))


def test_a_place_that_is_not_there_is_named():
    graph = graph_of(separable())
    key = find_streams(graph)[0][0].key
    for wrong, said in (({"nowhere": (0,)}, "'nowhere': found no such place"), ({key: (0,)}, "16")):
        with pytest.raises(ValueError, match=said):
            even_out(graph, wrong)
