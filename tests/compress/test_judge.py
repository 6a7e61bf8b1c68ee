import numpy as np
import pytest

from pycompress.convert import (
    Bounds,
    Choice,
    Costs,
    Judge,
    Plan,
    PlanError,
    agreement,
    wilson,
)
from pycompress.graph import Graph, Value


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def outputs(*arrays):
    (found,) = agreement(["y"], [[a] for a in arrays], [[a] for a in arrays]).outputs
    return found


RANDOM = np.random.default_rng(0).standard_normal((4, 6, 10)).astype(np.float32)
UNIT = RANDOM[0] / np.linalg.norm(RANDOM[0], axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("answers", "rows"),
    [
        ([RANDOM[0], RANDOM[1]], 12),  # logits
        ([softmax(RANDOM)], 24),  # probabilities of any rank
        ([softmax(RANDOM[0])], 6),
        ([RANDOM], 0),  # sequences of vectors
        ([UNIT], 0),  # embeddings, all of one length
        ([RANDOM[0, :1]], 1),  # a single row has no other to be as long as
        ([RANDOM[0, :, :1]], 0),
        ([RANDOM[0, 0]], 0),
        ([np.arange(12).reshape(3, 4)], 0),
        ([np.zeros((0, 4), np.float32)], 0),
    ],
)
def test_classes_are_told_from_other_outputs(answers, rows):
    found = outputs(*answers)
    assert found.rows == rows
    assert found.classes == (rows > 0)
    assert found.flips == 0


@pytest.mark.parametrize(
    ("same", "rows", "low", "high"),
    # the values of the method in closed form: 0 and n of n, and two of Newcombe (1998), table I
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_the_interval_is_wilsons(same, rows, low, high):
    assert wilson(same, rows) == pytest.approx((low, high), abs=1e-4)


def judge(wanted, bounds, metric=None):
    graph = Graph("g", [], [Value("y")], [], 18, {})
    return Judge(graph, [{}] * len(wanted), lambda _: lambda _: [wanted[0]], bounds, metric)


def test_steps_of_sequences_may_flip_less():
    wanted = softmax(RANDOM)
    moved = wanted.copy()
    moved[0, 0] = np.roll(moved[0, 0], 1)  # 1 of 24 rows
    shares = []
    for shape in [(4, 6, 10), (24, 10)]:
        held = judge([wanted.reshape(shape)], Bounds(cosine=1.0, flips=0.1))
        found = agreement(["y"], [[wanted.reshape(shape)]], [[moved.reshape(shape)]])
        assert found.outputs[0].flips == pytest.approx(1 / 24)
        shares.append(held.share(found))
        by_cosine = judge([wanted.reshape(shape)], Bounds(cosine=0.01, flips=1.0))
        shares.append(by_cosine.share(found) * 0.01 / (1 - found.outputs[0].cosine_mean))
    assert shares == pytest.approx([2 / 2.4, 1 / 0.15, 1 / 2.4, 1.0])


def test_flips_and_cosine_have_bounds_of_their_own():
    held = judge([RANDOM[0]], Bounds(cosine=0.01, flips=0.5))
    turned = RANDOM[0].copy()
    best = turned[0].argmax()
    turned[0, best] = turned[0].min()  # one of six first places moves
    found = agreement(["y"], [[RANDOM[0]]], [[turned]])
    lost = 1 - found.outputs[0].cosine_mean
    assert held.share(found) == pytest.approx(max(lost / 0.01, (1 / 6) / 0.5))
    assert Bounds.within(0.25) == Bounds(0.25, 0.25, 0.25)
    assert found.drop == pytest.approx(max(lost, 1 / 6))
    strict = judge([RANDOM[0]], Bounds(0.0, 0.0))
    assert strict.share(agreement(["y"], [[RANDOM[0]]], [[RANDOM[0]]])) == 0
    assert strict.share(found) > 1e6


def choice(precision, key="a"):
    return Choice(key, key, "conv", precision, "")


def costs(static_ms, saved=300, whole=100_000):
    return Costs(
        {("a", "static"): 500.0, ("a", "weights"): 1e3, ("a", "float"): 1e3, ("b", "float"): 9e3},
        {("a", "static"): static_ms, ("a", "float"): 1.0, ("a", "weights"): 1.0},
        {("a", "static"): 100, ("a", "weights"): 100, ("a", "float"): 100 + saved},
        whole,
    )


def test_a_node_stays_in_float_if_integers_are_slower_and_save_little():
    plan = Plan({"a": choice("static")})
    (kept,) = costs(2.5).not_worth_it(plan)
    assert kept.precision == "float"
    assert "takes 2.5 ms and float 1, and would save only 300 bytes" in kept.reason
    assert costs(1.4).not_worth_it(plan) == []  # may be noise
    assert costs(2.5, saved=2000).not_worth_it(plan) == []
    assert costs(2.5).not_worth_it(Plan({"a": choice("float")})) == []
    assert costs(2.5).not_worth_it(Plan({"a": choice("dynamic")})) == []  # never timed


@pytest.mark.parametrize("measured", [0.1, 7.0])
def test_a_move_costs_work_and_bytes_whatever_was_measured(measured):
    table = costs(measured, saved=10_000)
    to_weights = table.price(choice("static"), choice("weights"))
    to_float = table.price(choice("static"), choice("float"))
    assert to_weights == pytest.approx(0.05 + 1e-3)
    assert to_float == pytest.approx(0.05 + 0.1 + 1e-3)
    assert table.price(choice("float"), choice("static")) == pytest.approx(1e-3)


def test_a_metric_that_is_no_number_is_named():
    with pytest.raises(PlanError, match="metric: found 'good', wanted a number"):
        judge([np.ones(3)], Bounds(), metric=lambda _: "good")
