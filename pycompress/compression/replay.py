"""Carry out decisions that were taken before: nothing is tried and nothing is timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.calibration import Split
from pycompress.compression.fit import Fit
from pycompress.compression.search import Converted, errors_of
from pycompress.compression.sessions import make_run
from pycompress.convert import (
    BudgetError,
    Judge,
    PlanError,
    WeightCache,
    apply_plan,
    even_out,
    make_plan,
    separate_residuals,
    settle,
    verify,
    verify_evened,
    wanted_moments,
)
from pycompress.report.report import Calibrated
from pycompress.report.views import range_views

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycompress.calibration import Feed
    from pycompress.compression.wishes import Tell, Wishes
    from pycompress.convert import Decisions, Plan
    from pycompress.graph import Graph


def convert_decided(
    path: Path,
    graph: Graph,
    decisions: Decisions,
    *,
    refused: tuple[tuple[str, str], ...],
    wishes: Wishes,
    stream: Iterable[Feed] | None,
    tell: Tell,
) -> Converted:
    """Convert as it was decided.

    With the calibration data that the decisions were taken on the result is the same file; without
    data weights are rounded to nearest, and nothing is judged.
    """
    if decisions.separated:
        graph = separate_residuals(graph)
    wish = make_plan(
        graph, decisions.mode, calibrated=decisions.calibrated, exclude=decisions.exclude
    )
    decisions.check(path, wish)
    graph = _evened(graph, decisions)
    plan, ranges = decisions.plan, decisions.ranges
    if stream is None:
        weights = WeightCache()
        made = apply_plan(graph, _whole(graph, decisions, weights), ranges, weights)
        verify(graph, made, plan, ranges, weights)
        note = "decisions replayed without data: weights rounded to nearest, agreement not checked"
        return Converted(
            graph,
            made,
            plan,
            refused,
            notes=[note],
            bounds_of=dict(ranges),
            evened=decisions.evened,
        )
    split = Split(stream)
    tell("calibrating")
    moments = wanted_moments(graph, wish, wishes.memory) if decisions.calibrated else []
    fit = Fit(graph, plan, moments)
    fit.take(split, tell)
    weights = fit.weights()
    made = apply_plan(graph, _whole(graph, decisions, weights), ranges, weights)
    verify(graph, made, plan, ranges, weights)
    tell(f"judging on {len(split.held_back)} feeds")
    judge = Judge(graph, split.held_back, make_run, wishes.bounds, wishes.metric)
    verdict = judge.verdict(made)
    if not (verdict.kept or wishes.best_effort):
        msg = f"the decisions do not keep the bounds: {judge.describe(verdict)}"
        raise BudgetError(msg)
    return Converted(
        graph,
        made,
        plan,
        refused,
        verdict,
        judge.before,
        Calibrated(split.passed, len(split.held_back), split.shared),
        held_back=split.held_back,
        notes=["decisions replayed: nothing was tried or timed to take them"],
        errors=errors_of(graph, plan, made, split.held_back),
        ranges=range_views(fit.histograms, ranges),
        bounds_of=dict(ranges),
        evened=decisions.evened,
    )


def _evened(graph: Graph, decisions: Decisions) -> Graph:
    """Return the graph with channels evened out as it was decided."""
    powers = {place.key: place.exponents for place in decisions.evened if place.taken}
    try:
        evened = even_out(graph, powers)
    except ValueError as error:
        msg = f"decisions: {error}"
        raise PlanError(msg) from error
    verify_evened(graph, evened, powers)
    return evened


def _whole(graph: Graph, decisions: Decisions, weights: WeightCache) -> Plan:
    """Return the plan, or raise PlanError when it can't be carried out."""
    plan = decisions.plan
    settled = settle(graph, plan, decisions.ranges, weights)
    for choice in settled:
        if choice.precision != plan.choices[choice.key].precision:
            msg = f"decisions: node '{choice.node}' can't be as decided: {choice.reason}"
            raise PlanError(msg)
    return plan
