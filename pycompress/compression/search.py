"""Convert a graph: without data, or calibrated and held to bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycompress.compression.sessions import run_to
from pycompress.compression.ways import Way, costs, measure
from pycompress.convert import (
    Budget,
    BudgetError,
    Mode,
    Plan,
    Verdict,
    WeightCache,
    apply_plan,
    by_node,
    make_plan,
    settle,
    signal_to_noise,
    verify,
    watched_sizes,
)
from pycompress.report.report import Calibrated
from pycompress.report.views import Alternative, RangeView

if TYPE_CHECKING:
    from pycompress.calibration import Feed, Range
    from pycompress.compression.wishes import Tell, Wishes
    from pycompress.convert import Evened, NodeError, Shapes
    from pycompress.graph import Graph

ERROR_FEEDS = 4
"""Held-back feeds that signal to noise is measured on."""

LESS_WORK = 0.9
"""Another way is taken when it is no more than this share of the work."""

DOUBTED = 1.5
"""Less work that takes this many times as long here is not taken for less."""

GAIN = 0.95
"""Nodes go back to float when the whole then needs no more than this share of the time."""


@dataclass
class Converted:
    """What conversion hands on to the report."""

    float_graph: Graph
    graph: Graph
    plan: Plan
    refused: tuple[tuple[str, str], ...]
    verdict: Verdict | None = None
    metric_before: float | None = None
    calibrated: Calibrated | None = None
    moved: int = 0
    held_back: list[Feed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: tuple[NodeError, ...] = ()
    ranges: tuple[RangeView, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    bounds_of: Mapping[str, Range] = field(default_factory=dict)
    """Ranges of the values in integers, by name."""
    evened: tuple[Evened, ...] = ()
    """Where channels were evened out, and where not."""
    made_up: list[Feed] = field(default_factory=list)
    """Inputs that stood in for real ones."""

    @property
    def exponents(self) -> dict[str, tuple[int, ...]]:
        """Return the exponents of the factors by place, where channels were evened out."""
        return {place.key: place.exponents for place in self.evened if place.taken}


def convert_blind(graph: Graph, refused: tuple[tuple[str, str], ...], wishes: Wishes) -> Converted:
    """Convert without data."""
    weights = WeightCache()
    wish = make_plan(graph, wishes.mode, calibrated=False, exclude=wishes.exclude)
    plan = settle(graph, wish, {}, weights)
    done = Converted(graph, apply_plan(graph, plan, {}, weights), plan, refused)
    verify(graph, done.graph, plan, {}, weights)
    done.notes.append("no calibration data: agreement with the float model was not checked on it")
    return done


class Search:
    """Looks for the fastest way of converting that keeps the bounds.

    Parameters
    ----------
    budget : Budget
    wishes : Wishes
    plan : Plan
        The wish, settled.
    tell : callable

    Attributes
    ----------
    ways : list of Way
        What was looked at, the float model first; without the one that was chosen.
    notes : list of str
    moved : int
    """

    def __init__(self, budget: Budget, wishes: Wishes, plan: Plan, tell: Tell) -> None:
        self.budget, self.wishes, self.tell = budget, wishes, tell
        self.ways = [Way("float", None, budget.graph)]
        self.notes: list[str] = []
        self.moved = 0
        self._feed = budget.judge.held_back[0]
        self._wish = self._way(wishes.mode, plan)

    def best(self) -> Way:
        """Return the way that is taken; raise BudgetError when none keeps the bounds."""
        self._look_at_ways()
        plans = [self._wish]
        if self.wishes.mode == "auto":
            plans += [w for w in self.ways if w.name == "all dynamic" and _kept(w)]
        held = [self._held(way) for way in plans]
        kept = [way for way in held if _kept(way) and self._compresses(way)]
        if not kept:
            return self._least()
        first = kept[0]
        if len(kept) > 1:
            measure(kept, self._feed)
            first = min(
                kept, key=lambda way: self._work(way) * (LESS_WORK if way is first else 1.0)
            )
            first = min(kept, key=lambda way: way.ms * (1.0 if way is first else DOUBTED))
        if first is not kept[0]:
            self.notes.append("every layer finds its ranges at run time: that is less work")
        return self._never_slower(first)

    def _work(self, way: Way) -> float:
        """Return the work of a way's nodes, by which ways are chosen: it is no matter of luck."""
        return 0.0 if self.budget.costs is None else self.budget.costs.work_of(self._plan(way))

    def _look_at_ways(self) -> None:
        others: tuple[Mode, ...] = ("bf16", "weights", "dynamic", "static")
        seen = [self._wish]
        for other in others:
            wish = make_plan(self.budget.graph, other, calibrated=True, exclude=self.wishes.exclude)
            plan = settle(self.budget.graph, wish, self.budget.ranges, self.budget.weights)
            if all(_differ(plan, way.plan) for way in seen):
                seen.append(self._way(f"all {other}", plan))
        self.tell("timing ways of converting")
        self.ways += seen[1:]
        measure([*self.ways, self._wish], self._feed, nodes=True)
        self.budget.costs = costs(
            self.budget.graph,
            [self.ways[0], self._wish, *self.ways[1:]],
            self._plan(self._wish),
            self._shapes(),
        )

    def _shapes(self) -> Shapes:
        """Return the shapes that values have in a run on the first feed."""
        names = watched_sizes(self.budget.graph, self._plan(self._wish))
        run = run_to(self.budget.graph, names)
        return {name: found.shape for name, found in zip(names, run(self._feed), strict=True)}

    def _way(self, name: str, plan: Plan) -> Way:
        graph = self.budget.carried_out(plan)
        return Way(name, plan, graph, self.budget.judge.verdict(graph))

    def _held(self, way: Way) -> Way:
        """Return a way after what it takes to keep the bounds."""
        held = self.budget.hold(self._plan(way), self.tell)
        self.moved = max(self.moved, held.moved)
        if held.moved or held.spread:
            self.ways.append(replace(way, name=f"{way.name}, before moves"))
        if held.moved:
            self.notes.append(f"{held.moved} nodes moved to a safer precision to keep the bounds")
        if held.spread:
            self.notes.append(
                f"{held.spread} dynamic layers run in float in other runtimes: one range for all "
                "rows, as the standard has it, would cost them too much"
            )
        return Way(f"{self.wishes.mode}, as written", held.plan, held.graph, held.verdict)

    def _never_slower(self, way: Way) -> Way:
        """Return the way without the integers that are not worth it, if it gains by that."""
        measure([way], self._feed)
        slow = (
            self.budget.costs.not_worth_it(self._plan(way))
            if self.wishes.never_slower and self.budget.costs is not None
            else []
        )
        if not slow:
            return way
        without = self._way(way.name, self._plan(way).change(slow))
        measure([way, without], self._feed)
        if without.ms <= GAIN * way.ms and _kept(without) and self._compresses(without):
            self.ways.append(replace(way, name=f"{self.wishes.mode}, slower nodes too"))
            self.notes.append(f"{len(slow)} nodes stayed in float: integers do not speed them up")
            return without
        self.notes.append(
            f"{len(slow)} small nodes are slower in integers by themselves, but the whole is not "
            "faster with them in float"
        )
        return way

    def _least(self) -> Way:
        """Return the best that was found, if the caller takes that, although it is not enough."""
        judge = self.budget.judge
        tried: list[tuple[Plan | None, Verdict | None]] = [
            (way.plan, way.verdict) for way in [*self.ways, self._wish]
        ]
        tried += self.budget.tried
        worth = [
            (verdict.share, place, plan, verdict)
            for place, (plan, verdict) in enumerate(tried)
            if plan is not None and verdict is not None and self._saves(plan)
        ]
        if not worth:
            msg = "no node of the model could be converted within the bounds"
            raise BudgetError(msg)
        _, _, plan, verdict = min(worth, key=lambda row: row[:2])
        said = f"the bounds can't be kept: at best {judge.describe(verdict)}"
        if not self.wishes.best_effort:
            raise BudgetError(said)
        self.notes.append(said)
        way = self._way(f"{self.wishes.mode}, as written", plan)
        measure([way], self._feed)
        return way

    def _compresses(self, way: Way) -> bool:
        """Tell whether a way saves anything, unless there was nothing to save."""
        plan = self._plan(self._wish)
        return self._saves(self._plan(way)) or not self._saves(plan)

    def _saves(self, plan: Plan) -> bool:
        cost = self.budget.costs
        if cost is None:
            return True
        before = sum(cost.bytes[c.key, "float"] for c in plan)
        after = sum(cost.bytes[c.key, c.precision] for c in plan)
        return before - after >= LEAST_SAVED * before > 0

    @staticmethod
    def _plan(way: Way) -> Plan:
        if way.plan is None:
            msg = "internal: the float model has no plan"
            raise AssertionError(msg)
        return way.plan


LEAST_SAVED = 0.1
"""Share of the weights' bytes that a conversion has to save to be one."""


def _kept(way: Way) -> bool:
    return way.verdict is not None and way.verdict.kept


def _differ(plan: Plan, other: Plan | None) -> bool:
    return other is None or any(
        choice.precision != other.choices[choice.key].precision for choice in plan
    )


def errors_of(
    graph: Graph, plan: Plan, made: Graph, feeds: Sequence[Feed]
) -> tuple[NodeError, ...]:
    """Return the signal to noise of the outputs of the plan's nodes."""
    both = {v.name for v in graph.values()} & {v.name for v in made.values()}
    known = {c.key: (c.node, str(c.precision)) for c in plan if c.key in both}
    names = list(known)
    if not names:
        return ()
    runs = (run_to(graph, names), run_to(made, names))
    return tuple(by_node(signal_to_noise(names, *runs, feeds[:ERROR_FEEDS]), known))
