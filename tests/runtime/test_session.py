"""The session: checks, names, fallbacks, control flow, values that decide shapes, threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import helper

from pycompress.graph import simplify, to_formats
from pycompress.readers import read
from pycompress.runtime import FallbackWarning, InferenceSession
from tests.runtime.models import BOOL, FLOAT, INT64, Model, assert_close, reference


def small():
    m = Model()
    x = m.input("x", ["n", 6])
    y = m.node("Relu", m.node("MatMul", x, m.weights(6, 4)))
    m.output(y)
    m.output(m.node("ReduceSum", y, m.const(np.array([1])), keepdims=0))
    return m, {"x": m.rng.standard_normal((3, 6)).astype(np.float32)}


def test_names_shapes_and_types():
    m, _ = small()
    session = InferenceSession(m.proto())
    (x,) = session.get_inputs()
    assert (x.name, x.shape, x.type) == ("x", ["n", 6], "tensor(float)")
    assert [out.name for out in session.get_outputs()] == [v.name for v in m.outputs]


def test_outputs_come_as_asked_for():
    m, feeds = small()
    session = InferenceSession(m.proto())
    first, second = session.run(None, feeds)
    names = [v.name for v in m.outputs]
    swapped = session.run(names[::-1], feeds)
    np.testing.assert_array_equal(swapped[0], second)
    np.testing.assert_array_equal(swapped[1], first)
    with pytest.raises(ValueError, match=r"unknown output 'nothing'.*relu"):
        session.run(["nothing"], feeds)


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({}, ValueError, "missing input 'x'"),
        ({"x": np.zeros((1, 6), np.float32), "z": 1}, ValueError, "unknown input 'z'"),
        ([np.zeros((1, 6), np.float32)], TypeError, "found a list, wanted a dict"),
        ({"x": np.zeros((1, 6))}, TypeError, "'x': found dtype float64, wanted float32"),
        ({"x": np.zeros(6, np.float32)}, ValueError, r"'x': found shape \[6\], wanted \[n, 6\]"),
        ({"x": np.zeros((2, 5), np.float32)}, ValueError, r"'x': found shape \[2, 5\]"),
        ({"x": "text"}, TypeError, "'x': found dtype"),
    ],
)
def test_bad_feeds_name_the_input(feeds, error, message):
    m, _ = small()
    with pytest.raises(error, match=message):
        InferenceSession(m.proto()).run(None, feeds)


def test_bad_arguments():
    m, _ = small()
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        InferenceSession(m.proto(), num_threads=0)
    with pytest.raises(ValueError, match="no value named 'nowhere'"):
        InferenceSession(m.proto(), outputs=["nowhere"])
    with pytest.raises(ValueError, match="profiling=True"):
        InferenceSession(m.proto()).profile()


def test_feeds_need_not_be_contiguous():
    m, feeds = small()
    session = InferenceSession(m.proto())
    strided = {"x": np.asfortranarray(feeds["x"])}
    assert_close(session.run(None, strided), session.run(None, feeds), 0)


def test_a_graph_is_taken_as_well_as_bytes_and_paths(tmp_path):
    m, feeds = small()
    path = tmp_path / "model.onnx"
    path.write_bytes(m.proto().SerializeToString())
    wanted = InferenceSession(path).run(None, feeds)
    graph = to_formats(simplify(read(m.proto()))).graph
    before = [repr(node) for node in graph.nodes]
    for model in (m.proto().SerializeToString(), str(path), graph):
        assert_close(InferenceSession(model).run(None, feeds), wanted, 0)
    assert [repr(node) for node in graph.nodes] == before


def test_intermediate_values_are_returned_on_request():
    m, feeds = small()
    hidden = m.nodes[0].output[0]
    session = InferenceSession(m.proto(), outputs=[hidden])
    *_, found = session.run(None, feeds)
    m.output(hidden)
    assert_close([found], reference(m.proto(), feeds)[-1:])


def test_profile_lists_what_ran():
    m, feeds = small()
    profile = InferenceSession(m.proto()).profile(feeds, repeats=3)
    assert {row.op for row in profile} == {"linear", "ReduceSum"}
    assert all(row.calls == 3 and row.ms > 0 and row.engine == "native" for row in profile)
    assert sum(row.share for row in profile) == pytest.approx(1.0)
    assert [row.share for row in profile] == sorted((r.share for r in profile), reverse=True)
    session = InferenceSession(m.proto(), profiling=True)
    session.run(None, feeds)
    assert {row.calls for row in session.profile()} == {1}


def test_an_operator_without_a_kernel_runs_through_the_reference_and_says_so():
    m = Model()
    x = m.input("x", [4, 4])
    y = m.node("Relu", m.node("MatMul", x, m.weights(4, 4)))
    y = m.node("Add", m.node("Det", m.node("Mul", y, y)), m.node("Det", y))
    m.output(m.node("Sqrt", m.node("Abs", y)))
    feeds = {"x": m.rng.standard_normal((4, 4)).astype(np.float32)}
    with pytest.warns(FallbackWarning, match="'Det'") as caught:
        session = InferenceSession(m.proto(), fallback="onnx.reference")
    assert len(caught) == 1
    assert session.fallbacks == ["Det"]
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert any(
        (row.op, row.engine) == ("Det", "onnx.reference")
        for row in session.profile(feeds, repeats=1)
    )


def test_element_types_that_the_engine_lacks_run_through_the_reference():
    m = Model()
    x = m.input("x", [3], onnx.TensorProto.STRING)
    m.output(m.node("Cast", x, to=FLOAT))
    feeds = {"x": np.array(["1.5", "-2", "1e3"], object)}
    with pytest.warns(FallbackWarning, match="'x' is"):
        session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def branches(condition_of):
    """A model with an If whose branches capture a value of the graph around them."""
    m = Model()
    x = m.input("x", [2, 3])
    flag = condition_of(m, x)
    y = m.node("Mul", x, m.const(np.float32(2)))

    def branch(op, name):
        inner = helper.make_node(op, [y], [name])
        return helper.make_graph(
            [inner], name, [], [helper.make_tensor_value_info(name, FLOAT, [2, 3])]
        )

    out = m.node(
        "If", flag, then_branch=branch("Sigmoid", "then"), else_branch=branch("Neg", "other")
    )
    m.output(m.node("Add", out, x))
    return m


def test_if_picks_its_branch_at_run_time():
    m = branches(
        lambda m, x: m.node("Greater", m.node("ReduceSum", x, keepdims=0), m.const(np.float32(0)))
    )
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    for sign in (-1, 1):
        feeds = {"x": np.full((2, 3), sign, np.float32)}
        assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_if_on_an_input():
    m = branches(lambda m, _: m.input("flag", [], BOOL))
    session = InferenceSession(m.proto())
    for flag in (False, True):
        feeds = {"x": np.ones((2, 3), np.float32), "flag": np.array(flag)}
        assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_values_that_decide_shapes():
    """A shape that is an input, and one that is computed from data."""
    m = Model()
    x, shape = m.input("x", [12]), m.input("shape", [2], INT64)
    y = m.node("Reshape", x, shape)
    top = m.node("Cast", m.node("ReduceMax", y, keepdims=0), to=INT64)
    m.output(m.node("Range", m.const(np.array(0)), top, m.const(np.array(2))), INT64)
    m.output(y)
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    for dims in [(3, 4), (2, 6), (3, 4)]:
        for high in (5.0, 9.0):
            feeds = {"x": np.linspace(0, high, 12, dtype=np.float32), "shape": np.array(dims)}
            assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_one_session_serves_many_threads():
    m, _ = small()
    session = InferenceSession(m.proto(), num_threads=2)
    feeds = [{"x": m.rng.standard_normal((n, 6)).astype(np.float32)} for n in range(1, 17)]
    wanted = [session.run(None, f) for f in feeds]
    with ThreadPoolExecutor(4) as pool:
        for found, want in zip(
            pool.map(lambda f: session.run(None, f), feeds * 4), wanted * 4, strict=True
        ):
            assert_close(found, want, 0)


def test_a_session_draws_in_no_heavy_modules(tmp_path):
    m, _ = small()
    path = tmp_path / "model.onnx"
    path.write_bytes(m.proto().SerializeToString())
    code = (
        "import sys; from pycompress import InferenceSession as Session; Session(sys.argv[1]);"
        "heavy = {'rich', 'typer', 'matplotlib', 'onnx.reference'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    # Not from the checkout: its source tree would come before the installed package.
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=tmp_path)


def test_a_big_tensor_may_say_where_it_lies():
    """Quantizers write ``data_location = DEFAULT`` behind the bytes."""
    m = Model()
    m.output(m.node("MatMul", m.input("x", ["n", 64]), m.weights(64, 64)))
    proto = m.proto()
    proto.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    feeds = {"x": m.rng.standard_normal((2, 64)).astype(np.float32)}
    found = InferenceSession(proto.SerializeToString()).run(None, feeds)
    assert_close(found, reference(proto, feeds))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("Conv", {"strides": [0]})], "strides"),
        ([("Transpose", {"perm": [0, 2, 1]}), ("Transpose", {"perm": [1, 0]})], "perm"),
        ([("Pad", {}), ("Conv", {})], "pads"),
        ([("ReduceMax", {"keepdims": 0}), ("ArgMax", {"axis": 0})], "axis"),
    ],
)
def test_attributes_that_fit_nothing_are_named(nodes, said):
    m = Model()
    y = m.input("x", [1, 3, 5])
    for op, attrs in nodes:
        others = {"Conv": m.weights(1, 3, 1), "Pad": m.const(np.arange(5))}
        y = m.node(op, y, *([others[op]] if op in others else []), **attrs)
    m.output(y)
    with pytest.raises(ValueError, match=said):
        InferenceSession(m.proto()).run(None, {"x": np.ones((1, 3, 5), np.float32)})


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    m = Model()
    m.output(m.node("Relu", m.input("x", [3])))
    with pytest.raises(FileNotFoundError) as error:
        InferenceSession(m.proto()).save(tmp_path / "nowhere" / "m.plan")
    assert error.value.filename == str(tmp_path / "nowhere" / "m.plan")
