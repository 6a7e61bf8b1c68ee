"""Convert a graph that there is data for: calibrated, and held to bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycompress.calibration import Split
from pycompress.compression.evening import Evening
from pycompress.compression.search import Converted, Search, errors_of
from pycompress.compression.sessions import make_run
from pycompress.compression.ways import shown
from pycompress.convert import (
    Budget,
    BudgetError,
    Judge,
    apply_plan,
    separate_residuals,
    settle,
    verify,
)
from pycompress.report.report import Calibrated
from pycompress.report.views import range_views

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompress.calibration import Feed
    from pycompress.compression.fit import Fit
    from pycompress.compression.ways import Way
    from pycompress.compression.wishes import Tell, Wishes
    from pycompress.convert import Plan
    from pycompress.graph import Graph

NO_DEARER = 1.01
"""An evened model is taken that needs no more than this share of the time and bytes."""


@dataclass
class Outcome:
    """What a search came to on one graph.

    Attributes
    ----------
    fit : Fit
    budget : Budget
    search : Search
    chosen : Way
    plan : Plan
        That of `chosen`.
    ranges : str
        The way of choosing ranges that was taken; empty when there was one only.
    """

    fit: Fit
    budget: Budget
    search: Search
    chosen: Way
    plan: Plan
    ranges: str

    @property
    def kept(self) -> bool:
        """Whether the bounds are kept."""
        return self.chosen.verdict is not None and self.chosen.verdict.kept

    @property
    def share(self) -> float:
        """Of what the bounds allow, how much is used up."""
        return math.inf if self.chosen.verdict is None else self.chosen.verdict.share

    @property
    def price(self) -> float:
        """What it costs: the share of the float model's work, and that of its bytes."""
        costs = self.budget.costs
        return 0.0 if costs is None else costs.share_of(self.plan)

    def beats(self, evened: Outcome) -> bool:
        """Tell whether this is better than the outcome on the evened graph."""
        if self.kept != evened.kept:
            return self.kept
        return self.price * NO_DEARER < evened.price if self.kept else self.share < evened.share


def convert_judged(
    graph: Graph,
    refused: tuple[tuple[str, str], ...],
    wishes: Wishes,
    stream: Iterable[Feed],
    tell: Tell,
) -> Converted:
    """Calibrate where the plan asks for it, convert, and hold the result to the bounds."""
    if wishes.mode in {"auto", "static", "int4"}:
        graph = separate_residuals(graph)
    split = Split(stream)
    tell("calibrating")
    evening = Evening(graph, wishes, split, tell)
    fits = evening.fits()
    judge = Judge(graph, split.held_back, make_run, wishes.bounds, wishes.metric)
    done = _best(fits, evening, judge, wishes, tell)
    notes = done.search.notes
    if done.ranges:
        notes.insert(0, f"ranges by '{done.ranges}', which agrees best on the held-back feeds")
    if split.shared:
        notes.append(
            "only one calibration feed: ranges were made from the feed that they are judged on"
        )
    weights, chosen, ranges = done.fit.weights(), done.chosen, done.budget.ranges
    verify(done.fit.graph, chosen.graph, done.plan, ranges, weights)
    tell("looking at the errors of nodes")
    return Converted(
        done.fit.graph,
        chosen.graph,
        done.plan,
        refused,
        chosen.verdict,
        judge.before,
        Calibrated(split.passed, len(split.held_back), split.shared),
        done.search.moved,
        split.held_back,
        notes,
        errors_of(done.fit.graph, done.plan, chosen.graph, split.held_back),
        range_views(done.fit.histograms, ranges),
        shown([*done.search.ways, chosen], chosen),
        dict(ranges),
        tuple(evening.evened),
    )


def _best(
    fits: Sequence[Fit], evening: Evening, judge: Judge, wishes: Wishes, tell: Tell
) -> Outcome:
    """Return the outcome on the evened graph, or on the one before, where that comes cheaper.

    Where the evened graph keeps the bounds as it is, the other one has nothing to win.
    """
    failed: BudgetError | None = None
    first: Outcome | None = None
    try:
        first = _searched(fits[0], judge, wishes, tell)
    except BudgetError as error:
        failed = error
    if len(fits) > 1 and (first is None or first.search.moved):
        tell("trying without channels evened out")
        try:
            other = _searched(fits[1], judge, wishes, tell)
        except BudgetError as error:
            failed = failed or error
        else:
            if first is None or other.beats(first):
                evening.give_up("keeping the bounds with it would take more time or bytes")
                return other
    if first is None:
        msg = "the bounds can't be kept"
        raise failed or BudgetError(msg)
    return first


def _searched(fit: Fit, judge: Judge, wishes: Wishes, tell: Tell) -> Outcome:
    """Look for the best way of converting one graph."""
    graph, weights = fit.graph, fit.weights()
    tell(f"converting and judging on {len(judge.held_back)} feeds")
    budget = Budget(graph, {}, weights, judge)
    methods = wishes.methods if fit.histograms else wishes.methods[:1]
    found = {name: fit.ranges(name) for name in methods}
    trials = [(name, settle(graph, fit.plan, r, weights), r) for name, r in found.items()]
    # before anything is judged: the search would move what was converted wrongly back to float
    _, first, bounds = trials[0]
    verify(graph, apply_plan(graph, first, bounds, weights), first, bounds, weights)
    by, plan = budget.best_ranges(trials)
    search = Search(budget, wishes, plan, tell)
    chosen = search.best()
    if chosen.plan is None:
        msg = "internal: the float model was chosen"
        raise AssertionError(msg)
    return Outcome(fit, budget, search, chosen, chosen.plan, by if len(trials) > 1 else "")
