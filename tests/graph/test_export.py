"""What is written is standard ONNX, appears whole or not at all, and reads back the same."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st

from pycompress.graph import (
    PRESET,
    Graph,
    Node,
    Quantized,
    Value,
    export,
    save,
    simplify,
    to_formats,
)
from pycompress.readers import read
from tests.graph.models import Model, assert_same, ops, run
from tests.graph.test_reader import big


def graph_of(m):
    return to_formats(simplify(read(m.proto()))).graph


def test_saving_writes_what_export_returns(tmp_path):
    m = big()
    path = tmp_path / "out.onnx"
    written = save(graph_of(m), path)
    assert written == path.stat().st_size
    onnx.checker.check_model(path)
    assert_same(run(onnx.load(path), m.feeds), run(m.proto(), m.feeds))
    assert [p.name for p in tmp_path.iterdir()] == ["out.onnx"]


def test_large_models_have_a_data_file(tmp_path):
    m = big()
    path = tmp_path / "out.onnx"
    written = save(graph_of(m), path, limit=1000)
    data = tmp_path / "out.onnx.data"
    assert written == path.stat().st_size + data.stat().st_size
    onnx.checker.check_model(path)
    again = read(path)
    (entry,) = onnx.load(path, load_external_data=False).graph.initializer
    assert entry.data_location == onnx.TensorProto.EXTERNAL
    assert_same(run(export(again), m.feeds), run(m.proto(), m.feeds))


def test_the_model_that_is_read_is_not_overwritten(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(big().proto(), path)
    before = path.read_bytes()
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    for target in (path, link):
        with pytest.raises(ValueError, match="write to another file"):
            save(read(path), target, source=path)
    assert path.read_bytes() == before


def test_the_data_that_is_read_is_not_overwritten(tmp_path):
    save(graph_of(big()), tmp_path / "a.onnx", limit=1000)
    (tmp_path / "a.onnx").rename(tmp_path / "b.onnx")
    graph = read(tmp_path / "b.onnx")
    with pytest.raises(
        ValueError, match=r"a.onnx.data' holds data of the model that is being read"
    ):
        save(graph, tmp_path / "a.onnx", limit=1000)
    assert save(graph, tmp_path / "c.onnx", limit=1000)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "out.onnx"
    path.write_bytes(b"old")

    def fail(*_):
        message = "disk full"
        raise OSError(message)

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(graph_of(big()), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.onnx"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(graph_of(big()), tmp_path / "no" / "out.onnx")


def test_names_and_notes_survive():
    model = big().proto()
    model.graph.name, model.graph.doc_string = "encoder", "what it is"
    model.metadata_props.add(key="author", value="somebody")
    model.graph.node[0].name = "fc"
    model.graph.node[0].metadata_props.add(key="layer", value="3")
    model.ir_version = 10
    written = export(read(model))
    assert (written.graph.name, written.graph.doc_string) == ("encoder", "what it is")
    assert written.metadata_props[0].value == "somebody"
    assert written.graph.node[0].name == "fc"
    assert written.graph.node[0].metadata_props[0].value == "3"
    assert written.ir_version == 10


def test_fused_nodes_keep_the_name_of_the_product():
    m = Model()
    y = m.node("MatMul", m.input("x", [2, 5]), m.weights(5, 4), name="fc1")
    m.output(m.node("Relu", m.node("Add", y, m.weights(4), name="plus"), name="act"))
    assert [n.name for n in graph_of(m).nodes] == ["fc1"]


def quantized(rng, shape, axis):
    data = rng.integers(-127, 128, shape).astype(np.int8)
    size = () if axis is None else (shape[axis],)
    scale = (rng.random(size) * 0.01 + 0.001).astype(np.float32)
    return Quantized(data, scale, np.zeros(size, np.int8), axis)


def constant(name, array):
    return Value(name, np.dtype(np.float32), array.shape, array)


@given(
    weight=st.sampled_from(["float", "tensor", "channel"]),
    bias=st.booleans(),
    residual=st.booleans(),
    activation=st.sampled_from(["", "relu", "silu", "gelu", "gelu_tanh", "clip"]),
    dynamic=st.booleans(),
    rank=st.integers(2, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_linear_reads_back_as_itself(weight, bias, residual, activation, dynamic, rank):
    rng = np.random.default_rng(0)
    shape = ("n", 3, 8)[-rank:] if rank == 2 else ("n", 3, 8)
    x, r = (
        Value("x", np.dtype(np.float32), shape),
        Value("r", np.dtype(np.float32), (*shape[:-1], 4)),
    )
    y = Value("y", np.dtype(np.float32), (*shape[:-1], 4))
    if weight == "float":
        w, dynamic = rng.standard_normal((8, 4)).astype(np.float32), False
    else:
        w = quantized(rng, (8, 4), 1 if weight == "channel" else None)
    b = constant("b", rng.standard_normal(4).astype(np.float32)) if bias else None
    attrs = {"activation": activation, "alpha": -1.0, "beta": 2.0} if activation == "clip" else {}
    if activation and not attrs:
        attrs = {"activation": activation, "alpha": 0.0, "beta": 0.0}
    if dynamic:
        attrs["dynamic"] = True
    node = Node(
        "linear", [x, constant("w", w), b, r if residual else None], [y], attrs, PRESET, "fc"
    )
    graph = Graph("g", [x, r] if residual else [x], [y], [node])
    written = export(graph)
    onnx.checker.check_model(written)
    (found,) = to_formats(simplify(read(written))).graph.nodes
    assert (found.op, found.name) == ("linear", "fc")
    assert {k: v for k, v in found.attrs.items() if v} == {k: v for k, v in attrs.items() if v}
    assert [v is not None for v in (found.input(2), found.input(3))] == [bias, residual]
    kept = found.inputs[1].const
    assert type(kept) is type(w)
    assert getattr(kept, "axis", 0) == getattr(w, "axis", 0)
    assert np.array_equal(*(q.data if isinstance(q, Quantized) else q for q in (kept, w)))


def test_a_conv_that_wants_ranges_at_run_time_says_so():
    rng = np.random.default_rng(0)
    x, y = (Value(n, np.dtype(np.float32), (1, 3, 6, 6)) for n in "xy")
    attrs = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1, "dynamic": True}
    node = Node(
        "conv", [x, constant("w", quantized(rng, (3, 3, 3, 3), 0))], [y], attrs, PRESET, "c"
    )
    written = export(Graph("g", [x], [y], [node]))
    onnx.checker.check_model(written)
    assert [n.op_type for n in written.graph.node] == ["DequantizeLinear", "Conv"]
    assert written.graph.node[1].metadata_props[0].key == "pycompress.dynamic"
    (found,) = to_formats(read(written)).graph.nodes
    assert found.attrs["dynamic"] is True
    assert not found.metadata


def test_a_graph_in_formats_stays_as_it_is():
    m = Model()
    y = m.node("Conv", m.input("x", ["n", 3, 6, 6]), m.weights(4, 3, 3, 3), name="stem")
    m.output(m.node("Relu", y, name="act"))
    graph = graph_of(m)
    again = to_formats(simplify(graph))
    assert ops(again.graph) == ops(graph) == ["conv relu"]
    assert [(d.node, d.format) for d in again.decisions] == [("stem", "conv")]


def test_tied_integers_are_written_once():
    rng = np.random.default_rng(0)
    x, y, z = (Value(n, np.dtype(np.float32), ("n", 6)) for n in "xyz")
    w = constant("w", quantized(rng, (6, 6), 1))
    nodes = [
        Node("linear", [x, w], [y], {"dynamic": True}, PRESET, "a"),
        Node("linear", [y, w], [z], {}, PRESET, "b"),
    ]
    written = export(Graph("g", [x], [z], nodes))
    onnx.checker.check_model(written)
    matrices = [t for t in written.graph.initializer if list(t.dims) == [6, 6]]
    assert [t.data_type for t in matrices] == [onnx.TensorProto.INT8]
    graph = to_formats(simplify(read(written))).graph
    assert [bool(n.attrs.get("dynamic")) for n in graph.nodes] == [True, False]
