"""Weights in bfloat16, in the menu and in the file."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress.convert import (
    Bounds,
    Budget,
    ConversionError,
    Judge,
    WeightCache,
    apply_plan,
    cosine,
    make_plan,
    verify,
)
from pycompress.convert.halves import LARGEST, to_halves
from pycompress.graph import export
from pycompress.graph.ir import in_halves
from pycompress.runtime import InferenceSession
from tests.oracle_bf16 import rounded

from .models import images, model, normal, peer, preset, residual_cnn, sentences, tokens


def halved(proto):
    graph = preset(proto)
    plan = make_plan(graph, "bf16", calibrated=False)
    return graph, plan, apply_plan(graph, plan, {}, WeightCache())


def mixed():
    """Layers with and without a kernel: grouped, transposed, recurrent, a table, a shared input."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "one", pads=[1] * 4),
        helper.make_node("Conv", ["x", "w2"], ["b"], "two", pads=[1] * 4),
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("HardSwish", ["s"], ["h"]),
        helper.make_node("Conv", ["h", "w3"], ["c"], "each", group=64),
        helper.make_node("ConvTranspose", ["c", "w4"], ["d"], "wide", strides=[2, 2]),
        helper.make_node("Reshape", ["d", "shape"], ["e"]),
        helper.make_node("GRU", ["e", "w5", "r5"], ["", "f"], "cell", hidden_size=16),
        helper.make_node("Squeeze", ["f", "zero"], ["g"]),
        helper.make_node("Gemm", ["g", "w6", "b6"], ["i"], "last", transB=1),
        helper.make_node("Gather", ["table", "ids"], ["j"], "words"),
        helper.make_node("MatMul", ["j", "w7"], ["k"], "up"),
        helper.make_node("Add", ["i", "k"], ["y"]),
    ]
    constants = {
        "w1": normal(1, 64, 3, 3, 3) * 2,
        "b1": normal(2, 64),
        "w2": normal(3, 64, 3, 3, 3),
        "w3": normal(4, 64, 1, 3, 3) * 9,
        "w4": normal(5, 64, 16, 2, 2) * 4,
        "w5": normal(6, 1, 48, 64) * 3,
        "r5": normal(7, 1, 48, 16),
        "w6": normal(8, 64, 16) * 3,
        "b6": normal(9, 64),
        "table": normal(10, 40, 64) * 4,
        "w7": normal(11, 64, 64),
        "shape": np.array([-1, 1, 64]),
        "zero": np.array([0]),
    }
    face = [("x", TensorProto.FLOAT, [1, 3, 8, 8]), ("ids", TensorProto.INT64, [1])]
    return model(nodes, face, [("y", [1, 64])], constants)


def feeds(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32), "ids": rng.integers(0, 40, 1)}
        for _ in range(count)
    ]


def test_numbers_are_the_nearest_and_stay_finite():
    edges = [0.0, -0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1.1, 1e-40, 3.4e38, -3.4e38, np.inf, np.nan]
    values = np.array([*edges, *normal(1, 500)], np.float32)
    found = to_halves(values).astype(np.float32)
    nearest = [np.clip(rounded(v), -LARGEST, LARGEST) if np.isfinite(v) else v for v in values]
    wanted = np.array(nearest, np.float32)
    np.testing.assert_array_equal(found, wanted)


def test_the_file_runs_elsewhere_with_the_same_numbers():
    proto = mixed()
    _, plan, made = halved(proto)
    written = export(made)
    onnx.checker.check_model(written, full_check=True)
    assert {o.domain for o in written.opset_import} == {""}
    assert {c.precision for c in plan} == {"bf16"}
    sizes = {i.name: i.data_type for i in written.graph.initializer if np.prod(i.dims) >= 512}
    assert set(sizes.values()) == {TensorProto.BFLOAT16}
    theirs, ours, float_run = peer(written), InferenceSession(written), peer(proto)
    assert ours.fallbacks == []
    for feed in feeds(4):
        (a,), (b,), (wanted,) = theirs(feed), ours.run(None, feed), float_run(feed)
        assert 1 - cosine(a, b) < 2e-6  # a sum next to a tie may be rounded to the other side
        assert 1e-8 < 1 - cosine(b, wanted) < 1e-3


def test_layers_that_read_one_value_share_its_casts():
    written = export(halved(mixed())[2])
    of_x = [n for n in written.graph.node if n.op_type == "Cast" and n.input[0] == "x"]
    assert len(of_x) == 1


def test_the_session_multiplies_halves():
    proto = mixed()
    made = halved(proto)[2]
    wanted = {"one", "two", "last", "up"}
    for graph in (made, export(made)):  # from the rewritten graph, and from the file
        rows = InferenceSession(graph, num_threads=1).profile(feeds(1)[0], 1).rows
        assert {r.name for r in rows if r.op.endswith("_bf16")} == wanted
        assert not {r.op for r in rows} & {"Cast", "round_to"}
    answers = [InferenceSession(g).run(None, feeds(1)[0])[0] for g in (made, export(made))]
    np.testing.assert_array_equal(*answers)


def test_a_rounding_that_others_ask_for_stays():
    """Whoever else reads the rounded value gets it; weights that are no halves are not taken."""
    weights = {"w1": to_halves(normal(1, 8, 8)).astype(np.float32), "w2": normal(2, 8, 8)}
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["h"], ["r"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["r", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["r", "w2"], ["b"], "second"),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Concat", ["c", "r"], ["y"], axis=1),
    ]
    proto = model(nodes, [("x", TensorProto.FLOAT, ["n", 8])], [("y", ["n", 16])], weights)
    feed = {"x": normal(3, 5, 8)}
    session = InferenceSession(proto)
    rows = session.profile(feed, 1).rows
    assert {r.name: r.op for r in rows if r.op.startswith("linear")} == {
        "first": "linear_bf16",
        "second": "linear",
    }
    np.testing.assert_allclose(session.run(None, feed)[0], peer(proto)(feed)[0], rtol=1e-5)
    np.testing.assert_array_equal(session.run(None, feed)[0][:, 8:], rounded(feed["x"]))


def test_a_plan_file_keeps_it(tmp_path):
    made = halved(mixed())[2]
    session = InferenceSession(made)
    session.save(tmp_path / "m.plan")
    again = InferenceSession(tmp_path / "m.plan")
    np.testing.assert_array_equal(
        session.run(None, feeds(1)[0])[0], again.run(None, feeds(1)[0])[0]
    )


def test_mode_bf16_halves_the_file_and_is_inspected(tmp_path):
    source, target = tmp_path / "m.onnx", tmp_path / "h.onnx"
    onnx.save(tokens(), source)
    report = pycompress.compress(source, target, sentences(8), mode="bf16", max_drop=1e-4)
    assert {c.precision for c in report.choices} == {"bf16"}
    assert report.kind == "bf16"
    assert {timing.model for timing in report.timings} == {"float", "bf16"}
    halves = sum(row.after for row in report.ledger.rows if row.format)
    assert halves == sum(row.before for row in report.ledger.rows if row.format) / 2
    found = {n.node: n.precision for n in pycompress.inspect(target).nodes}
    assert found == {"words": "bf16", "up": "bf16", "down": "bf16"}
    (tmp_path / "r.json").write_text(report.to_json())
    again = tmp_path / "again.onnx"
    pycompress.compress(source, again, sentences(8), decisions=tmp_path / "r.json")
    assert again.read_bytes() == target.read_bytes()
    table = InferenceSession(target, outputs=["e"]).run(None, {"ids": np.array([[7, 8]])})[1]
    assert np.isneginf(table[0, 0]).all()


@pytest.mark.parametrize("proto", [residual_cnn, tokens])
def test_what_weights_in_integers_cost_too_much_goes_to_halves(proto):
    """One weight of each channel is a thousand times as large: 127 steps leave the others none."""
    changed = proto()
    for tensor in changed.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if array.ndim >= 2 and tensor.name != "table":
            flat = array.reshape(array.shape[0], -1)
            (flat if array.ndim == 4 else flat.T)[:, 0] *= 1e-3
            (flat if array.ndim == 4 else flat.T)[:, 1] *= 300
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    graph = preset(changed)
    plan = make_plan(graph, "weights", calibrated=True)
    data = images(4, seed=2) if proto is residual_cnn else sentences(4, seed=2)
    budget = Budget(graph, {}, WeightCache(), Judge(graph, data, peer, Bounds(2e-5, 1.0)))
    held = budget.hold(plan, lambda _: None)
    assert held.verdict.kept
    assert "bf16" in {c.precision for c in held.plan}
    assert any("'weights' cost too much" in c.reason for c in held.plan)
    verify(graph, held.graph, held.plan, {}, budget.weights)


def _wrong_number(node):
    halves = node.inputs[1].const.copy()
    halves.reshape(-1)[3] *= np.float32(1.01).astype(halves.dtype)
    node.inputs[1].const = halves


def _cut(node):
    node.inputs[1].const = node.inputs[1].const[..., :-1]


def _in_float(node):
    node.inputs[1].const = node.inputs[1].const.astype(np.float32)


def _another_bias(node):
    node.inputs[2].const = node.inputs[2].const + np.float32(1)


def _not_rounded(node):
    del node.attrs["bf16"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_wrong_number, "its weight .* became"),
        (_cut, "its weights have shape"),
        (_in_float, "its weights are not in bfloat16"),
        (_another_bias, "its constant 'b1' is another one"),
        (_not_rounded, "its input is not rounded to bfloat16"),
    ],
)
def test_a_planted_error_is_named(change, said):
    graph, plan, made = halved(mixed())
    verify(graph, made, plan, {}, WeightCache())
    node = next(n for n in made.nodes if n.name == "one")
    assert in_halves(node.inputs[1].const)
    change(node)
    with pytest.raises(ConversionError, match=f"'one' was converted wrongly: {said}"):
        verify(graph, made, plan, {}, WeightCache())


@pytest.mark.parametrize("mode", ["weights", "bf16"])
def test_a_node_named_like_its_weight_keeps_its_name(mode):
    nodes = [helper.make_node("MatMul", ["x", "bank"], ["y"], "bank")]
    face = [("x", TensorProto.FLOAT, [1, 64])], [("y", [1, 64])]
    graph = preset(model(nodes, *face, {"bank": normal(1, 64, 64)}))
    plan = make_plan(graph, mode, calibrated=False)
    made = apply_plan(graph, plan, {}, WeightCache())
    names = [n.name for n in export(made).graph.node]
    assert len(set(names)) == len(names)
    assert "bank" in names
    feed = {"x": normal(2, 1, 64)}
    assert cosine(peer(made)(feed)[0], peer(graph)(feed)[0]) > 0.999
