"""Convert a graph: without data, or calibrated and held to a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pycompress.calibration import Histogram, RangeMethod, Split, collect, watched
from pycompress.compression.alternatives import alternatives
from pycompress.compression.sessions import make_run, run_to
from pycompress.convert import (
    Agreement,
    Budget,
    Mode,
    Plan,
    WeightCache,
    apply_plan,
    by_node,
    choose_ranges,
    make_plan,
    observed,
    separate_residuals,
    settle,
    signal_to_noise,
    wanted_moments,
)
from pycompress.report.report import Calibrated
from pycompress.report.views import Alternative, RangeView, range_views

if TYPE_CHECKING:
    from pycompress.calibration import Feed, Moments
    from pycompress.convert import Held, Layer, NodeError
    from pycompress.graph import Graph

Tell: TypeAlias = Callable[[str], None]
"""Told each stage of a long work as it begins."""

ERROR_FEEDS = 4
"""Held-back feeds that signal to noise is measured on."""


@dataclass
class Converted:
    """What conversion hands on to the report."""

    float_graph: Graph
    graph: Graph
    plan: Plan
    refused: tuple[tuple[str, str], ...]
    agreement: Agreement | None = None
    calibrated: Calibrated | None = None
    moved: int = 0
    held_back: list[Feed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: tuple[NodeError, ...] = ()
    ranges: tuple[RangeView, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


def convert_blind(
    graph: Graph, refused: tuple[tuple[str, str], ...], mode: Mode, exclude: Sequence[str]
) -> Converted:
    """Convert without data."""
    weights = WeightCache()
    plan = settle(graph, make_plan(graph, mode, calibrated=False, exclude=exclude), {}, weights)
    done = Converted(graph, apply_plan(graph, plan, {}, weights), plan, refused)
    done.notes.append("no calibration data: agreement with the float model was not checked")
    return done


def convert_judged(
    graph: Graph,
    refused: tuple[tuple[str, str], ...],
    mode: Mode,
    exclude: Sequence[str],
    stream: Iterable[Feed],
    *,
    bound: float,
    methods: Sequence[RangeMethod],
    tell: Tell,
) -> Converted:
    """Calibrate where the plan asks for it, convert, and hold the result to the bound."""
    if mode in {"auto", "static"}:
        graph = separate_residuals(graph)
    plan = make_plan(graph, mode, calibrated=True, exclude=exclude)
    split = Split(stream)
    tell("calibrating")
    moments = wanted_moments(graph, plan)
    histograms = _calibrate(graph, plan, split, moments, tell)
    weights = WeightCache([(layer.weight, layer.moments) for layer in moments])
    tell(f"converting and judging on {len(split.held_back)} feeds")
    budget = Budget(graph, {}, weights, split.held_back, make_run)
    trials = [
        (name, settle(graph, plan, found, weights), found)
        for name in (methods if histograms else methods[:1])
        for found in [choose_ranges(histograms, name)]
    ]
    chosen, plan = budget.best_ranges(trials)
    held = budget.hold(plan, bound, tell)
    notes = _notes(held, split, bound)
    if len(trials) > 1:
        notes.insert(0, f"ranges by '{chosen}', which agrees best on the held-back feeds")
    tell("looking at the errors of nodes and at other ways")
    return Converted(
        graph,
        held.graph,
        held.plan,
        refused,
        held.agreement,
        Calibrated(split.passed, len(split.held_back), split.shared),
        held.moved,
        split.held_back,
        notes,
        _errors(graph, held, split.held_back),
        range_views(histograms, budget.ranges),
        _other_ways(budget, held, mode, exclude),
    )


def _notes(held: Held, split: Split, bound: float) -> list[str]:
    notes = []
    if split.shared:
        notes.append(
            "only one calibration feed: ranges were made from the feed that they are judged on"
        )
    if held.moved:
        notes.append(
            f"{held.moved} steps to a safer precision were needed to keep the drop within {bound:g}"
        )
    if held.spread:
        notes.append(
            f"{held.spread} dynamic layers run in float in other runtimes: one range for all rows, "
            "as the standard has it, would cost them too much"
        )
    return notes


def _errors(graph: Graph, held: Held, feeds: Sequence[Feed]) -> tuple[NodeError, ...]:
    """Return the signal to noise of the outputs of the plan's nodes."""
    known = {choice.key: (choice.node, str(choice.precision)) for choice in held.plan}
    names = list(known)
    if not names:
        return ()
    runs = (run_to(graph, names), run_to(held.graph, names))
    return tuple(by_node(signal_to_noise(names, *runs, feeds[:ERROR_FEEDS]), known))


def _other_ways(
    budget: Budget, held: Held, mode: Mode, exclude: Sequence[str]
) -> tuple[Alternative, ...]:
    """Return the model in float, as it was converted, and with one precision for all nodes."""
    graphs = {"float": budget.graph, f"{mode}, as written": held.graph}
    drops = {"float": 0.0, f"{mode}, as written": held.agreement.drop}
    others: tuple[Mode, ...] = ("weights", "dynamic", "static")
    for other in others:
        wish = make_plan(budget.graph, other, calibrated=True, exclude=exclude)
        plan = settle(budget.graph, wish, budget.ranges, budget.weights)
        if any(plan.precision(n) != held.plan.precision(n) for n in budget.graph.nodes):
            graphs[f"all {other}"] = budget.carried_out(plan)
            drops[f"all {other}"] = budget.measure(graphs[f"all {other}"]).drop
    return alternatives(graphs, drops, f"{mode}, as written", budget.held_back[0])


def _calibrate(
    graph: Graph, plan: Plan, split: Split, moments: Sequence[Layer], tell: Tell
) -> dict[str, Histogram]:
    """Run the float graph over the feeds and return what the static nodes' values looked like.

    `moments` are filled in.
    """
    static = {node for node in graph.nodes if plan.precision(node) == "static"}
    readers: dict[str, list[Moments]] = {}
    for layer in moments:
        readers.setdefault(layer.source, []).append(layer.moments)
    names = observed(graph, static)
    run = run_to(graph, watched(names, readers))

    def told() -> Iterable[Feed]:
        for index, feed in enumerate(split):
            tell(f"calibrating: feed {index + 1}")
            yield feed

    return collect(run, names, told(), readers)
