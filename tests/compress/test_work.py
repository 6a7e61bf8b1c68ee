"""What nodes are reckoned at, and that nothing else decides."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pycompress
from pycompress.compression import search
from pycompress.convert import make_plan, watched_sizes, work_of
from pycompress.convert.work import BANDWIDTH, PRODUCTS

from .models import images, model, normal, preset, residual_cnn, sentences, tokens


def worked(proto, shapes):
    graph = preset(proto)
    plan = make_plan(graph, "dynamic", calibrated=False)
    names = watched_sizes(graph, plan)
    found = work_of(graph, plan, {n: shapes[n] for n in names if n in shapes})
    return {(c.node, p): found[c.key, p] for c in plan for p in PRODUCTS}, names


def test_products_and_bytes_of_layers():
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], "words"),
        helper.make_node("MatMul", ["e", "w"], ["y"], "up"),
    ]
    face = [("ids", TensorProto.INT64, ["n", "t"])], [("y", ["n", "t", 96])]
    weights = {"table": normal(1, 40, 64), "w": normal(2, 64, 96)}
    found, names = worked(
        model(nodes, *face, weights), {"ids": (2, 5), "e": (2, 5, 64), "y": (2, 5, 96)}
    )
    assert names == ["ids", "e", "y"]
    x, w, y, products = 640, 64 * 96, 960, 10 * 64 * 96
    assert found["up", "float"] == pytest.approx(
        products / PRODUCTS["float"] + 4 * (x + w + y) / BANDWIDTH
    )
    assert found["up", "static"] == pytest.approx(
        products / PRODUCTS["static"] + (x + w + y) / BANDWIDTH
    )
    assert found["up", "static"] < found["up", "dynamic"] < found["up", "weights"]
    # no products, and no more of the table than the rows that are asked for
    assert found["words", "float"] == pytest.approx(4 * (10 + 640 + 640) / BANDWIDTH)


def test_products_of_windows_groups_and_sequences():
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "each", group=8, pads=[1] * 4),
        helper.make_node("ConvTranspose", ["a", "w2"], ["b"], "wide", strides=[2, 2]),
        helper.make_node("Reshape", ["b", "shape"], ["s"]),
        helper.make_node("GRU", ["s", "w3", "r3"], ["", "y"], "cell", hidden_size=6),
    ]
    shapes = {"x": (1, 8, 5, 5), "a": (1, 8, 5, 5), "b": (1, 4, 10, 10), "s": (25, 1, 16)}
    weights = {
        "w1": normal(1, 8, 1, 3, 3) * np.float32(9),
        "w2": normal(2, 8, 4, 2, 2),
        "w3": normal(3, 1, 18, 16),
        "r3": normal(4, 1, 18, 6),
        "shape": np.array([25, 1, 16]),
    }
    face = [("x", TensorProto.FLOAT, [1, 8, 5, 5])], [("y", [1, 1, 6])]
    found, _ = worked(model(nodes, *face, weights), shapes | {"y": (1, 1, 6)})

    sizes = {"each": 200 + 72 + 200, "wide": 200 + 128 + 400, "cell": 400 + 18 * 22 + 6}
    products = {"each": 200 * 9, "wide": 200 * 4 * 2 * 2, "cell": 25 * 18 * 22}
    for node, size in sizes.items():
        wanted = products[node] / PRODUCTS["float"] + 4 * size / BANDWIDTH
        assert found[node, "float"] == pytest.approx(wanted)


def test_what_did_not_run_is_no_work():
    found, _ = worked(residual_cnn(), {"x": (1, 3, 8, 8)})
    assert set(found.values()) <= {0.0, 4 * 192 / BANDWIDTH, 9 * 192 / BANDWIDTH, 192 / BANDWIDTH}


@pytest.mark.parametrize(("proto", "feeds"), [(residual_cnn, images), (tokens, sentences)])
def test_a_noisy_clock_changes_no_choice(proto, feeds, tmp_path, monkeypatch):
    onnx.save(proto(), tmp_path / "m.onnx")
    measure, files, rng = search.measure, [], np.random.default_rng(0)

    def noisy(ways, feed, *, nodes=False):
        measure(ways, feed, nodes=nodes)
        for way in ways:
            way.ms = float(rng.uniform(1.0, 1.4))
            way.by_node = {name: float(rng.uniform(1.0, 1.4)) for name in way.by_node}

    monkeypatch.setattr(search, "measure", noisy)
    for turn in range(3):
        target = tmp_path / f"{turn}.onnx"
        pycompress.compress(tmp_path / "m.onnx", target, feeds(8), max_drop=1e-4, best_effort=True)
        files.append(target.read_bytes())
    assert files[0] == files[1] == files[2]
