import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pycompress.calibration import Histogram, collect
from pycompress.convert import (
    Bounds,
    Budget,
    Judge,
    PlanError,
    WeightCache,
    agreement,
    apply_plan,
    choose_ranges,
    cosine,
    make_plan,
    observed,
    separate_residuals,
    settle,
)
from pycompress.graph import Quantized, export, to_formats
from pycompress.readers import read
from pycompress.runtime import InferenceSession

from .models import images, model, normal, peer, preset, residual_cnn, sentences, tokens


def converted(graph, mode, feeds, exclude=()):
    weights = WeightCache()
    plan = make_plan(graph, mode, calibrated=True, exclude=exclude)
    static = {n for n in graph.nodes if plan.precision(n) == "static"}
    names = observed(graph, static)
    given = {v.name for v in graph.inputs}
    computed = [n for n in names if n not in given]
    run = peer(graph, computed) if computed else (lambda _: [])

    def values(feed):
        found = dict(zip(computed, run(feed), strict=True))
        return [found.get(n, feed.get(n)) for n in names]

    ranges = choose_ranges(collect(values, names, feeds), "mse")
    plan = settle(graph, plan, ranges, weights)
    return apply_plan(graph, plan, ranges, weights), plan, ranges, weights


def ops(graph):
    return [n.op_type for n in export(graph).graph.node]


@pytest.mark.parametrize("mode", ["auto", "static", "dynamic", "weights"])
@pytest.mark.parametrize(("proto", "data"), [(residual_cnn, images), (tokens, sentences)])
def test_answers_agree_in_every_mode(proto, data, mode):
    graph = separate_residuals(preset(proto()))
    before = export(graph).SerializeToString(deterministic=True)
    result, *_ = converted(graph, mode, data(12))
    assert export(graph).SerializeToString(deterministic=True) == before
    onnx.checker.check_model(export(result), full_check=True)
    wanted, found = peer(proto()), peer(result)
    for feed in data(8, seed=1):
        assert cosine(wanted(feed)[0], found(feed)[0]) > 0.995


def test_separating_residuals_is_exact_and_keeps_the_graph():
    graph = preset(residual_cnn())
    assert any(n.is_preset("conv") and n.input(3) is not None for n in graph.nodes)
    separated = separate_residuals(graph)
    assert all(n.input(3) is None for n in separated.nodes if n.is_preset("conv"))
    assert any(n.is_preset("conv") and n.input(3) is not None for n in graph.nodes)
    for feed in images(3):
        np.testing.assert_array_equal(peer(graph)(feed)[0], peer(separated)(feed)[0])


def test_a_static_chain_has_one_pair_per_value_and_no_float_between():
    graph = separate_residuals(preset(residual_cnn()))
    result, *_ = converted(graph, "static", images(8))
    quantized = [n for n in result.nodes if n.is_op("QuantizeLinear")]
    sources = [n.inputs[0].name for n in quantized]
    assert len(set(sources)) == len(sources)
    readers = result.consumers()
    for node in quantized:
        producer = node.inputs[0].producer
        # what an integer node computes is read by nothing but its QuantizeLinear
        if producer is not None:
            assert readers[node.inputs[0]] == [node]
    for node in result.nodes:
        if node.is_preset("conv", "linear") or node.is_op("Add", "MaxPool"):
            assert node.inputs[0].producer.is_op("DequantizeLinear")


def test_a_value_that_is_only_moved_keeps_its_scale():
    graph = separate_residuals(preset(residual_cnn()))
    result, *_ = converted(graph, "static", images(8))
    pool = next(n for n in result.nodes if n.is_op("MaxPool"))
    after = next(
        n for n in result.nodes if n.is_op("QuantizeLinear") and n.inputs[0] is pool.output
    )
    assert after.inputs[1].array() == pool.inputs[0].producer.inputs[1].array()
    assert after.inputs[2].array() == pool.inputs[0].producer.inputs[2].array()


def test_onnxruntime_fuses_the_chain(tmp_path):
    import onnxruntime

    graph = separate_residuals(preset(residual_cnn()))
    result, *_ = converted(graph, "static", images(8))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        export(result).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fused = [n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert fused.count("QLinearConv") == 2
    assert "QLinearAdd" in fused
    assert "Conv" not in fused


def test_biases_are_in_units_of_both_scales():
    graph = separate_residuals(preset(residual_cnn()))
    result, *_ = converted(graph, "static", images(8))
    convs = [n for n in result.nodes if n.is_preset("conv")]
    assert len(convs) == 2
    for node in convs:
        x_scale = node.inputs[0].producer.inputs[1].array()
        weight, bias = node.inputs[1].const, node.inputs[2].const
        assert bias.data.dtype == np.int32
        np.testing.assert_array_equal(bias.scale, x_scale * weight.scale)


def test_dynamic_layers_quantize_at_run_time():
    result, plan, *_ = converted(preset(tokens()), "dynamic", sentences(4))
    assert {c.precision for c in plan if c.format == "linear"} == {"dynamic"}
    assert ops(result).count("MatMulInteger") == 2
    assert ops(result).count("DynamicQuantizeLinear") == 2


def test_a_row_of_infinities_survives_the_whole_way():
    result, *_ = converted(preset(tokens()), "dynamic", sentences(4))
    table = next(n for n in result.nodes if n.is_preset("embedding")).inputs[0].const
    assert isinstance(table, Quantized)
    assert np.isneginf(table.dequantize()[7]).all()
    words = next(n for n in result.nodes if n.is_preset("embedding")).output.name
    found = peer(result, [words])({"ids": np.array([[7, 8]])})[0]
    assert np.isneginf(found[0, 0]).all()
    assert np.isfinite(found[0, 1]).all()


def test_tied_weights_stay_one_array():
    weight = normal(1, 64, 64)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "one"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"], "two"),
    ]
    face = [("x", TensorProto.FLOAT, [1, 5, 64])], [("y", [1, 5, 64])]
    graph = preset(model(nodes, *face, {"w": weight}))
    weights = WeightCache()
    plan = make_plan(graph, "dynamic", calibrated=False)
    result = apply_plan(graph, plan, {}, weights)
    used = [n.inputs[1] for n in result.nodes if n.is_preset("linear")]
    assert len(used) == 2
    assert used[0] is used[1]


def test_a_range_that_is_not_finite_makes_a_node_dynamic_and_says_so():
    graph = separate_residuals(preset(residual_cnn()))
    plan = make_plan(graph, "static", calibrated=True)
    seen = Histogram()
    seen.update(np.array([1, np.inf]))
    plan = settle(graph, plan, choose_ranges({"x": seen}, "mse"), WeightCache())
    first = next(c for c in plan if c.node == "first")
    assert first.precision == "dynamic"
    assert "'x'" in first.reason


def test_exclude_by_name_and_by_pattern():
    graph = preset(residual_cnn())
    plan = make_plan(graph, "static", calibrated=True, exclude=["first", "class*"])
    assert {c.node: c.precision for c in plan} == {
        "first": "float",
        "second": "static",
        "classify": "float",
    }


@pytest.mark.parametrize(
    ("mode", "exclude", "said"),
    [
        ("int2", (), "mode: found 'int2', wanted one of auto, dynamic, static, weights, int4"),
        ("static", (), "mode 'static' needs calibration data"),
        ("dynamic", ("nobody",), "exclude: 'nobody' matches no node"),
    ],
)
def test_wishes_that_cannot_be_met(mode, exclude, said):
    with pytest.raises(PlanError, match=said):
        make_plan(preset(residual_cnn()), mode, calibrated=False, exclude=exclude)


def test_every_node_left_in_float_has_a_reason():
    plan = make_plan(preset(residual_cnn()), "dynamic", calibrated=False)
    for choice in plan:
        assert choice.reason
    assert next(c for c in plan if c.node == "classify").reason == "would save only 480 bytes"


def test_small_windows_are_integers_and_small_products_are_not():
    text = """agraph (float[1,1,8,8] x) => (float[1,4,8,8] y) {
      a = Conv <pads = [1, 1, 1, 1]> (x, windows)
      y = Conv (a, pixels)
    }"""
    proto = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 18]>' + text)
    for name, shape in (("windows", (4, 1, 3, 3)), ("pixels", (4, 4, 1, 1))):
        proto.graph.initializer.append(numpy_helper.from_array(normal(1, *shape), name))
    plan = make_plan(preset(proto), "dynamic", calibrated=False)
    assert [(c.precision, c.reason[:10]) for c in plan] == [
        ("dynamic", "ranges fou"),
        ("float", "would save"),
    ]


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_weights_that_something_reads_in_float_stay(mode):
    text = """agraph (float[4,64] x) => (float[4,64] y, float[64,64] z) {
      y = MatMul (x, w)
      z = Sin (w)
    }"""
    proto = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 18]>' + text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(0, 64, 64), "w"))
    (choice,) = make_plan(to_formats(read(proto)).graph, mode, calibrated=True)
    assert choice.precision == "float"
    assert "in float" in choice.reason


def test_the_budget_moves_the_node_that_hurts():
    proto = residual_cnn()
    # an outlier channel: with it in one u8 range, the second convolution's input has few steps left
    weight = next(i for i in proto.graph.initializer if i.name == "b1")
    bias = onnx.numpy_helper.to_array(weight).copy()
    bias[0] = 3000
    weight.CopyFrom(onnx.numpy_helper.from_array(bias, "b1"))
    second = next(i for i in proto.graph.initializer if i.name == "w2")
    values = onnx.numpy_helper.to_array(second).copy()
    values[:, 0] *= 1e-4
    second.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    graph = separate_residuals(preset(proto))
    _, plan, ranges, weights = converted(graph, "static", images(8))
    feeds = images(4, seed=2)

    def budget(cosine):
        return Budget(graph, ranges, weights, Judge(graph, feeds, peer, Bounds(cosine, 1.0)))

    loose = budget(1.0).hold(plan, lambda _: None)
    assert loose.moved == 0
    bound = loose.verdict.agreement.drop / 4
    told = []
    held = budget(bound).hold(plan, told.append)
    assert held.moved > 0
    assert held.verdict.kept
    assert held.verdict.agreement.drop <= bound
    assert any(re.fullmatch(r"measuring nodes: 1 of 3, \d+ s left", said) for said in told)
    assert any("cost too much" in c.reason for c in held.plan)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_weight_that_one_layer_keeps_in_float_is_two_constants(mode):
    shared = {"w": normal(1, 8, 8, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"], "second"),
    ]
    shape = ["n", 8, 4, 4]
    proto = model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", shape)], shared)
    feeds = [{"x": normal(seed, 2, 8, 4, 4)} for seed in range(3)]
    graph, *_ = converted(preset(proto), mode, feeds, exclude=["first"])
    written = export(graph)
    onnx.checker.check_model(written)  # each value is defined once
    wanted = InferenceSession(proto).run(None, feeds[0])[0]
    assert cosine(wanted, InferenceSession(written).run(None, feeds[0])[0]) > 0.99


def test_agreement_counts_what_it_says():
    wanted = [[np.array([[1.0, 2.0], [4.0, 3.0]])], [np.array([[0.0, 1.0]])]]
    found = [[np.array([[1.0, 2.5], [3.0, 4.0]])], [np.array([[0.0, 2.0]])]]
    result = agreement(["y"], wanted, found)
    assert (result.feeds, result.top1, result.outputs[0].rows) == (2, 2 / 3, 3)
    assert result.outputs[0].largest_error == 1
    assert result.outputs[0].cosine_min < result.outputs[0].cosine_mean < 1
    with pytest.raises(ValueError, match=r"output 'y' has shape \[3\], wanted \[2\]"):
        agreement(["y"], [[np.zeros(2)]], [[np.zeros(3)]])


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ([0, 0], [0, 0], 1),
        ([0, 0], [0, 1], 0),
        ([np.nan, 1], [np.nan, 1], 1),
        ([np.inf], [1], 0),
        ([1e300, 0], [1e300, 0], 1),
        ([1e-300, 0], [2e-300, 0], 1),
        ([1, 0], [-1, 0], -1),
    ],
)
def test_cosine_of_awkward_tensors(a, b, wanted):
    assert cosine(np.array(a, float), np.array(b, float)) == pytest.approx(wanted)


def test_a_range_for_each_row_is_a_wish_in_the_file():
    graph = preset(tokens())
    made, *_ = converted(graph, "dynamic", sentences(4))
    file = export(made)
    wishes = [n for n in file.graph.node if n.metadata_props]
    assert {n.op_type for n in wishes} == {"MatMulInteger"}
    assert {(p.key, p.value) for n in wishes for p in n.metadata_props} == {
        ("pycompress.dynamic", "rows")
    }
    again = preset(file)
    attrs = [n.attrs for n in again.nodes if n.is_preset("linear") and n.attrs.get("dynamic")]
    assert attrs
    assert all(a["by_row"] and not a.get("float_elsewhere") for a in attrs)


def rows_of_all_sizes():
    """Two layers on rows whose sizes are evened out at the end: small rows count as much."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "up"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["b"], "down"),
        helper.make_node("LayerNormalization", ["b", "gain"], ["y"], axis=-1),
    ]
    constants = {
        "w1": normal(2, 64, 96),
        "w2": normal(3, 96, 64),
        "gain": np.ones(64, np.float32),
    }
    proto = model(nodes, [("x", TensorProto.FLOAT, ["n", 64])], [("y", ["n", 64])], constants)
    rng = np.random.default_rng(0)
    sizes = np.exp2(np.arange(8) - 4)[:, None]
    return proto, [{"x": (rng.standard_normal((8, 64)) * sizes).astype(np.float32)} for _ in "1234"]


def test_what_one_range_would_cost_other_runtimes_is_left_in_float_there():
    proto, feeds = rows_of_all_sizes()
    graph = preset(proto)
    _, plan, ranges, weights = converted(graph, "dynamic", feeds)

    def run(graph):
        session = InferenceSession(graph)
        return lambda feed: session.run(None, feed)

    def budget(cosine):
        return Budget(graph, ranges, weights, Judge(graph, feeds, run, Bounds(cosine, 1.0)))

    loose = budget(1.0).hold(plan, lambda _: None)
    assert loose.spread == 0
    assert loose.verdict.agreement.drop < 0.001
    strict = budget(0.001)
    held = strict.hold(plan, lambda _: None)
    assert held.moved == 0
    assert held.spread > 0
    rows = {c.key for c in held.plan if c.precision == "rows"}
    assert len(rows) == held.spread
    elsewhere = apply_plan(graph, held.plan, ranges, weights, elsewhere=True)
    assert strict.judge.verdict(elsewhere).kept
    # what the file says is what other runtimes make of it
    wanted, found = peer(elsewhere), peer(held.graph)
    for feed in feeds:
        np.testing.assert_allclose(found(feed)[0], wanted(feed)[0], rtol=1e-4, atol=1e-4)
    again = preset(export(held.graph))
    kept = [n for n in again.nodes if n.attrs.get("float_elsewhere")]
    assert len(kept) == len(rows)


def test_the_ranges_that_agree_best_are_taken():
    graph = separate_residuals(preset(residual_cnn()))
    _, plan, ranges, weights = converted(graph, "static", images(8))
    budget = Budget(graph, {}, weights, Judge(graph, images(4, seed=2), peer))
    narrow = {k: (low / 50, high / 50) for k, (low, high) in ranges.items()}
    name, _ = budget.best_ranges([("narrow", plan, narrow), ("right", plan, ranges)])
    assert name == "right"
    assert budget.ranges is ranges
    assert budget.best_ranges([("only", plan, narrow)])[0] == "only"
