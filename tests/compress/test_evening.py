"""Evening channels out: factors that are chosen, kept exact, checked, replayed and reported."""

import json

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.calibration import Channels
from pycompress.compression.fit import Fit
from pycompress.convert import (
    ConversionError,
    PlanError,
    best_factors,
    even_out,
    evening,
    find_streams,
    make_plan,
    read_values,
    separate_residuals,
    verify_evened,
    wanted_moments,
)

from .models import peer, preset, residual_cnn
from .uneven import inverted, pictures, rows, separable, transformer

REAL = evening.scaled


def observed(graph, feeds):
    """What the readers of all streams read, run by onnxruntime."""
    axes = {n: a for s in find_streams(graph)[0] for n, a in read_values(s).items()}
    run = peer(graph, list(axes))
    found = {name: Channels(axis) for name, axis in axes.items()}
    for feed in feeds:
        for name, array in zip(axes, run(feed)):
            found[name].update(array)
    return found


def chosen(proto, data, forced=False, mode="auto"):
    graph = separate_residuals(preset(proto))
    plan = make_plan(graph, mode, calibrated=True)
    seen = [observed(graph, data(8, seed)) for seed in (1, 2)]
    streams = find_streams(graph)[0]
    return graph, {s.name: best_factors(s, plan, *seen, forced=forced) for s in streams}


def test_factors_even_out_what_differs():
    graph, found = chosen(separable(), pictures)
    assert found["first"].taken
    assert found["first"].error < 0.1 * found["first"].error_before
    assert found["first"].strength == 1.0  # a depthwise layer takes any factor at no cost
    assert found["single"].taken
    assert not found["mix"].taken  # its channels are alike
    before = observed(graph, pictures(8, 3))
    after = observed(
        even_out(graph, {f.key: f.exponents for f in found.values() if f.taken}), pictures(8, 3)
    )
    name = next(iter(read_values(find_streams(graph)[0][0])))
    spread = [seen[name].largest().max() / seen[name].largest().min() for seen in (before, after)]
    assert spread[0] > 60
    assert spread[1] < 8


def test_outliers_of_transformers_move_into_the_weights():
    _, found = chosen(transformer(), rows)
    for name in ("n0", "n1", "v"):
        assert found[name].kind == "smooth"
        assert found[name].taken, found[name].reason
        assert found[name].error < 0.7 * found[name].error_before
    assert min(found["n0"].exponents) <= -2
    assert max(found["n0"].exponents) == 0


@pytest.mark.parametrize("odd", [1e-38, 1e-45, 3e38, np.inf, np.nan])
def test_what_float32_could_not_hold_keeps_its_channel_as_it_is(odd):
    proto = separable()
    weight = next(c for c in proto.graph.initializer if c.name == "w1")
    array = onnx.numpy_helper.to_array(weight).copy()
    array[5, 0, 0, 0] = odd
    weight.CopyFrom(onnx.numpy_helper.from_array(array, "w1"))
    graph = separate_residuals(preset(proto))
    stream = find_streams(graph)[0][0]
    seen = {name: Channels(1) for name in read_values(stream)}
    for observer in seen.values():
        observer.update(
            np.abs(pictures(1)[0]["x"]).repeat(6, 1)[:, :16]
            * np.exp2(-np.arange(16.0)).reshape(16, 1, 1)
        )
    found = best_factors(stream, make_plan(graph, "auto", calibrated=True), seen, seen, forced=True)
    assert found.exponents[5] == 0
    assert min(found.exponents) < 0


def test_channels_that_are_dead_keep_one():
    graph = separate_residuals(preset(separable()))
    stream = find_streams(graph)[0][0]
    seen = {name: Channels(1) for name in read_values(stream)}
    for observer in seen.values():
        observer.update(np.zeros((1, 16, 4, 4), np.float32))
    plan = make_plan(graph, "auto", calibrated=True)
    assert (
        best_factors(stream, plan, seen, seen, forced=True).reason == "no factors make it err less"
    )
    nothing = {name: Channels(1) for name in seen}
    assert "nothing finite" in best_factors(stream, plan, nothing, seen, forced=True).reason


def test_moments_of_what_is_divided_are_worked_out_exactly():
    """Of a layer on all channels, one on each alone, and one on pictures that were made vectors."""
    graph = separate_residuals(preset(separable()))
    plan = make_plan(graph, "auto", calibrated=True)
    exponents = {s.key: tuple(-(np.arange(16) % 9)) for s in find_streams(graph)[0]}
    divided = {v: exponents[s.key] for s in find_streams(graph)[0] for v in s.values}
    evened = even_out(graph, exponents)
    before = Fit(graph, plan, wanted_moments(graph, plan))
    like = Fit(evened, plan, wanted_moments(evened, plan), before, divided)
    alone = Fit(evened, plan, wanted_moments(evened, plan))
    for fit in (before, like, alone):
        fit.take(pictures(6), lambda _: None)
    assert len(like.layers) == 4
    for a, b in zip(like.layers, alone.layers, strict=True):
        assert a.moments.rows == b.moments.rows
        np.testing.assert_array_equal(a.moments.sums, b.moments.sums)
        one, two = (fit.weights().get(a.weight, a.format) for fit in (like, alone))
        np.testing.assert_array_equal(one.data, two.data)
    assert like.histograms.keys() == alone.histograms.keys()
    for name, histogram in alone.histograms.items():
        np.testing.assert_array_equal(like.histograms[name].counts, histogram.counts)


CASES = {"separable": (separable, pictures), "transformer": (transformer, rows)}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    made, data = CASES[request.param]
    onnx.save(made(), tmp_path / "m.onnx")
    return tmp_path, data


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """A model, and decisions by which its channels are evened out."""
    folder = tmp_path_factory.mktemp("decided")
    onnx.save(separable(), folder / "m.onnx")
    pycompress.compress(
        folder / "m.onnx", folder / "a.onnx", pictures(8), equalize="on", report=folder / "r.json"
    )
    return folder / "m.onnx", folder / "r.json"


def error(path, source, data):
    found = pycompress.compare(source, path, data(6, 99)).agreement
    return 1.0 - found.outputs[0].cosine_mean


def test_answers_come_nearer_and_a_replay_writes_the_same_file(case):
    folder, data = case
    source, page = folder / "m.onnx", folder / "r.json"
    report = pycompress.compress(source, folder / "a.onnx", data(16), report=page)
    taken = [place for place in report.evened if place.taken]
    plain = pycompress.compress(source, folder / "off.onnx", data(16), equalize="off", smooth="off")
    assert taken
    assert plain.evened == ()
    # without it, nodes move to safer precisions, or the answers are further away
    assert (report.moved, report.share) < (plain.moved, 0.7 * plain.share)
    if report.moved == plain.moved:
        near, far = (error(folder / f"{name}.onnx", source, data) for name in ("a", "off"))
        assert near < 0.7 * far
    assert "Channels evened out" in str(report)
    assert all(place.name in str(report) for place in taken)
    again = pycompress.compress(source, folder / "b.onnx", data(16), decisions=page)
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    assert again.evened == report.evened
    assert again.decisions == report.decisions
    once_more = pycompress.compress(source, folder / "c.onnx", data(16))
    assert once_more.decisions == report.decisions
    assert (folder / "a.onnx").read_bytes() == (folder / "c.onnx").read_bytes()
    blind = pycompress.compress(source, folder / "d.onnx", decisions=page)
    assert blind.evened == report.evened


def test_a_stream_of_many_feeds_goes_on_after_the_choice(tmp_path):
    onnx.save(separable(), tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "a.onnx", iter(pictures(60)))
    assert any(place.taken for place in report.evened)
    assert report.calibrated.feeds + report.calibrated.held_back == 60
    assert max(view.seen_high for view in report.ranges if view.value == "x") == max(
        feed["x"].max() for i, feed in enumerate(pictures(60)) if i % 4 != 1
    )


def test_a_sum_costs_a_multiplication_that_is_asked_for(tmp_path):
    onnx.save(transformer(after=True), tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "a.onnx", rows(16), max_drop=0.5)
    assert "takes a multiplication" in " ".join(p.reason for p in report.evened if not p.taken)
    forced = pycompress.compress(
        tmp_path / "m.onnx", tmp_path / "b.onnx", rows(16), max_drop=0.5, smooth="on"
    )
    assert {p.name for p in forced.evened if p.taken} >= {"n0", "n1"}
    assert forced.share < report.share
    products = [n.op_type for n in onnx.load(tmp_path / "b.onnx").graph.node].count("Mul")
    assert products > [n.op_type for n in onnx.load(tmp_path / "a.onnx").graph.node].count("Mul")


@pytest.mark.parametrize("count", [1, 13])
def test_too_few_examples_are_no_ground(tmp_path, count):
    onnx.save(separable(), tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "a.onnx", pictures(count))
    assert {p.reason for p in report.evened} >= {
        "there are too few examples to tell whether it helps with others"
    }
    assert not any(p.taken for p in report.evened)


def test_even_channels_stay_as_they_are(tmp_path):
    onnx.save(residual_cnn(), tmp_path / "m.onnx")
    report = pycompress.compress(tmp_path / "m.onnx", tmp_path / "a.onnx", pictures(16))
    assert report.evened
    assert not any(p.taken for p in report.evened)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"equalize": "maybe"}, "equalize: found 'maybe', wanted one of auto, on, off"),
        ({"smooth": "on", "calibration": None}, "smooth 'on' needs calibration data"),
        ({"smooth": "on", "mode": "bf16"}, "goes with mode auto, static, dynamic, found 'bf16'"),
    ],
)
def test_switches_that_can_not_be_are_refused(tmp_path, wish, said):
    onnx.save(separable(), tmp_path / "m.onnx")
    with pytest.raises(PlanError) as caught:
        pycompress.compress(
            tmp_path / "m.onnx", tmp_path / "a.onnx", **{"calibration": pictures(4), **wish}
        )
    assert said in str(caught.value)
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p | {"key": "nowhere"}, "evening out at 'nowhere': found no such place"),
        (lambda p: p | {"exponents": p["exponents"][1:]}, "found 16 channels, wanted 15"),
        (lambda p: {k: v for k, v in p.items() if k != "kind"}, "are damaged: TypeError"),
    ],
)
def test_decisions_about_other_places_are_refused(decided, tmp_path, change, said):
    source, page = decided
    found = json.loads(page.read_text())["decisions"]
    found["evened"] = [change(p) if p["taken"] else p for p in found["evened"]]
    (tmp_path / "d.json").write_text(json.dumps(found))
    with pytest.raises(PlanError) as caught:
        pycompress.compress(source, tmp_path / "b.onnx", pictures(8), decisions=tmp_path / "d.json")
    assert said in str(caught.value)


def one_channel(site, exponents):
    """A wrong factor for one channel of a reader's weights."""
    wrong = np.array(exponents)
    wrong[3] += site.node.name == "single"
    return REAL(site, wrong)


def other_way(site, exponents):
    return REAL(site, exponents if site.node.name != "first" or site.index == 2 else -exponents)


def no_bias(site, exponents):
    return REAL(site, exponents * (site.index != 2))


def reversed_factors(site, exponents):
    return REAL(site, exponents[::-1] if site.node.name == "mix" else exponents)


def not_exact(site, exponents):
    return REAL(site, exponents) * np.float32(1.0 + (site.node.name == "first") * 2.0**-20)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (one_channel, r"node 'single' was evened out wrongly: 'w2' is .* at \[3, "),
        (other_way, "node 'first' was evened out wrongly: 'w1' is"),
        (no_bias, "node 'first' was evened out wrongly: 'b1' is"),
        (reversed_factors, "node 'mix' was evened out wrongly: 'w3' is"),
        (not_exact, "node 'first' was evened out wrongly: 'w1' is"),
    ],
)
@pytest.mark.parametrize("replayed", [False, True])
def test_planted_factors_are_named_and_not_shipped(
    decided, tmp_path, monkeypatch, mistake, said, replayed
):
    source, page = decided
    target = tmp_path / "out.onnx"
    wish = {"decisions": page} if replayed else {"equalize": "on"}
    monkeypatch.setattr(evening, "scaled", mistake)
    with pytest.raises(ConversionError, match=said):
        pycompress.compress(source, target, pictures(8), best_effort=True, **wish)
    assert not target.exists()


def test_what_else_moves_is_named():
    graph = separate_residuals(preset(transformer(after=True)))
    powers = {s.key: (-1,) * (s.channels - 1) + (0,) for s in find_streams(graph)[0]}

    def broken(change, said):
        made = even_out(graph, powers)
        change({n.name: n for n in made.nodes}, made)
        with pytest.raises(ConversionError, match=said):
            verify_evened(graph, made, powers)

    def reads_what_is_divided(nodes, _):
        nodes["down"].inputs[3] = nodes["n1"].output

    def other_product(nodes, _):
        nodes["n1_whole"].inputs[1].const = nodes["n1_whole"].inputs[1].const * 2

    def another_constant(nodes, _):
        nodes["n0"].inputs[2].const = nodes["n0"].inputs[2].const.copy() + 1

    def gone(nodes, made):
        made.nodes.remove(nodes["q"])

    def new(nodes, _):
        nodes["n1_whole"].op = "Add"

    broken(reads_what_is_divided, "node 'down' was evened out wrongly: it reads 'n1', wanted 'n1'")
    broken(other_product, "node 'n1_whole' was evened out wrongly: it multiplies with other")
    broken(another_constant, "node 'n0' was evened out wrongly: 'o0' is")
    broken(gone, "node 'q' is gone")
    broken(new, "node 'n1_whole' is new, and has no place")
    even = separate_residuals(preset(inverted()))
    verify_evened(even, even_out(even, {}), {})
