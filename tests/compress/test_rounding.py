"""Rounding by second moments: the moments against plain loops, and what they are good for."""

from itertools import product

import numpy as np
import pytest

from pycompress.calibration import Moments
from pycompress.calibration.moments import FEW, ROWS
from pycompress.convert import WeightCache, apply_plan, make_plan, round_rows, wanted_moments
from pycompress.convert.rounding import BLOCK
from pycompress.convert.weights import absmax_scales
from pycompress.graph.ir import PRESET, Node, Value

from .models import images, preset, residual_cnn


def node(op, **attrs):
    return Node(op, [], [Value("y")], attrs, PRESET)


def windows(x, kernel, strides, dilations, pads, groups):
    """What each output pixel of a convolution reads: [pixels, groups, channels * taps]."""
    spatial, rank = x.shape[2:], len(kernel)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [
        (spatial[i] + pads[i] + pads[rank + i] - extents[i]) // strides[i] + 1 for i in range(rank)
    ]
    rows = []
    for image in x:
        for at in product(*map(range, sizes)):
            row = np.zeros((x.shape[1], *kernel), x.dtype)
            for tap in product(*map(range, kernel)):
                place = [at[i] * strides[i] - pads[i] + tap[i] * dilations[i] for i in range(rank)]
                if all(0 <= p < s for p, s in zip(place, spatial, strict=True)):
                    row[(slice(None), *tap)] = image[(slice(None), *place)]
            rows.append(row.reshape(groups, -1))
    return np.array(rows)


@pytest.mark.parametrize(
    ("shape", "weight", "attrs", "pads"),
    [
        ((2, 3, 6, 7), (4, 3, 3, 3), {"pads": [1, 0, 2, 1]}, [1, 0, 2, 1]),
        ((1, 4, 7, 5), (8, 1, 3, 2), {"group": 4, "strides": [2, 1]}, [0, 0, 0, 0]),
        ((2, 4, 9), (2, 2, 3), {"group": 2, "dilations": [2]}, [0, 0]),
        ((1, 2, 6, 6), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, [0, 0, 1, 1]),
        ((1, 2, 6, 6), (3, 2, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, [1, 1, 0, 0]),
        ((1, 2, 3, 4, 3), (3, 2, 2, 2, 2), {}, [0] * 6),
    ],
)
def test_moments_of_a_convolution(shape, weight, attrs, pads):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    moments = Moments(node("conv", **attrs), weight)
    moments.update(x)
    rank, groups = len(shape) - 2, attrs.get("group", 1)
    ones = [1] * rank
    rows = windows(
        x, weight[2:], attrs.get("strides", ones), attrs.get("dilations", ones), pads, groups
    )
    rows = np.concatenate([rows, np.ones((*rows.shape[:2], 1), np.float32)], axis=2)
    wanted = np.einsum("rgi,rgj->gij", rows.astype(np.float64), rows)
    assert moments.rows == len(rows)
    np.testing.assert_allclose(moments.sums, wanted, rtol=1e-4, atol=1e-4)
    most = 2 * ROWS * rows[0].nbytes  # of rows that wait
    assert Moments.bytes_of(node("conv", **attrs), weight) == moments.sums.nbytes + most


def test_rows_that_wait_are_few_and_once_there_are_enough_fewer_are_taken():
    moments = Moments(node("linear"), (3, 5))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 300, 3)).astype(np.float32)
    for part in x:
        moments.update(part)
        assert sum(len(part) for part in moments._waiting) < ROWS
    assert moments.rows == 7 * 300 + 33 * FEW


def test_rows_that_are_not_finite_are_left_out():
    moments = Moments(node("linear"), (3, 5))
    x = np.ones((2, 4, 3), np.float32)
    x[0, 1, 2] = np.inf
    x[1, 0, 0] = np.nan
    moments.update(x)
    moments.update(np.zeros((0, 3), np.float32))
    assert moments.rows == 6
    np.testing.assert_array_equal(moments.sums, np.full((1, 4, 4), 6.0))


def gathered(x, outputs):
    moments = Moments(node("linear"), (x.shape[1], outputs))
    for part in np.array_split(x, max(1, len(x) // 400)):
        moments.update(part)
    return moments


@pytest.mark.parametrize("depth", [7, 40, BLOCK, BLOCK + 1, 2 * BLOCK + 30])
def test_answers_move_less_than_by_rounding_to_nearest(depth):
    """On inputs that were not among those that the moments are of."""
    rng = np.random.default_rng(depth)
    mixing = rng.standard_normal((depth, depth)) * np.exp2(-np.arange(depth) / depth * 6)
    x = np.maximum(rng.standard_normal((4000, depth)) @ mixing, 0).astype(np.float32)
    w = rng.standard_normal((12, depth)).astype(np.float32)
    scale = absmax_scales(np.abs(w).max(1))
    q, bias = round_rows(w, scale, gathered(x[:3000], 12))
    assert q.dtype == np.int8
    assert np.abs(q.astype(int)).max() <= 127
    nearest = np.clip(np.rint(w / scale[:, None]), -127, 127)

    def error(q, bias):
        change = x[3000:] @ (w - q * scale[:, None]).T - bias
        return np.square(change).mean()

    assert error(q, bias) < 0.7 * error(nearest, 0)


def test_a_mean_goes_into_the_bias():
    x = np.full((50, 4), 3.0, np.float32)
    w = np.array([[0.3, 0.7, -1.0, 0.9]], np.float32)
    scale = np.array([0.4], np.float32)
    q, bias = round_rows(w, scale, gathered(x, 1))
    np.testing.assert_allclose((q * scale[:, None]) @ x[0] + bias, w @ x[0], rtol=1e-5)


@pytest.mark.parametrize("x", [np.zeros((0, 5)), np.zeros((9, 5)), np.full((3, 5), np.nan)])
def test_without_anything_seen_it_is_rounding_to_nearest(x):
    w = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    scale = absmax_scales(np.abs(w).max(1))
    moments = Moments(node("linear"), (5, 3))
    moments.update(x.astype(np.float32))
    q, bias = round_rows(w, scale, moments)
    np.testing.assert_array_equal(q, np.rint(w / scale[:, None]))
    np.testing.assert_array_equal(bias, 0)


def test_a_dead_input_changes_nothing_for_the_others():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 6)).astype(np.float32)
    w = rng.standard_normal((4, 6)).astype(np.float32)
    x[:, 2] = 0
    scale = absmax_scales(np.abs(w).max(1))
    q, _ = round_rows(w, scale, gathered(x, 4))
    keep = [0, 1, 3, 4, 5]
    alone, _ = round_rows(w[:, keep], scale, gathered(x[:, keep], 4))
    assert (q[:, keep] == alone).mean() > 0.9  # the damping is a share of another mean
    np.testing.assert_array_equal(q[:, 2], np.rint(w[:, 2] / scale))


def test_groups_are_layers_of_their_own():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 6, 8, 8)).astype(np.float32)
    w = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    scale = absmax_scales(np.abs(w).reshape(4, -1).max(1))
    both = Moments(node("conv", group=2), w.shape)
    both.update(x)
    q, bias = round_rows(w.reshape(4, -1), scale, both)
    for g in range(2):
        one = Moments(node("conv"), (2, 3, 3, 3))
        one.update(x[:, 3 * g : 3 * g + 3])
        part = slice(2 * g, 2 * g + 2)
        found, change = round_rows(w[part].reshape(2, -1), scale[part], one)
        np.testing.assert_array_equal(found, q[part])
        np.testing.assert_allclose(change, bias[part], atol=1e-9)


def test_layers_of_tied_or_float_weights_are_not_watched():
    graph = preset(residual_cnn())
    plan = make_plan(graph, "weights", calibrated=True, exclude=["first"])
    names = {layer.source for layer in wanted_moments(graph, plan)}
    convolutions = [n for n in graph.nodes if n.is_preset("conv")]
    assert convolutions[0].inputs[0].name not in names
    assert convolutions[1].inputs[0].name in names
    convolutions[0].inputs[1] = convolutions[1].inputs[1]
    plan = make_plan(graph, "weights", calibrated=True)
    names = {layer.source for layer in wanted_moments(graph, plan)}
    assert names.isdisjoint(n.inputs[0].name for n in convolutions)


def test_the_bias_of_a_node_takes_up_the_mean():
    graph = preset(residual_cnn())
    plan = make_plan(graph, "weights", calibrated=True)
    layers = wanted_moments(graph, plan)
    feed = images(1)[0]["x"]
    first = next(layer for layer in layers if layer.source == "x")
    first.moments.update(feed)
    cache = WeightCache([(layer.weight, layer.moments) for layer in layers])
    made = apply_plan(graph, plan, {}, cache)
    before, after = (next(n for n in g.nodes if n.is_preset("conv")) for g in (graph, made))
    change = after.inputs[2].const - before.inputs[2].const
    np.testing.assert_allclose(change, cache.bias_of(first.weight), atol=1e-6)
    assert np.abs(change).max() > 0
