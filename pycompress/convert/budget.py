"""Hold a plan to its bounds: the nodes that hurt most move to a safer precision until they hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pycompress.calibration import Range
from pycompress.convert.apply import WeightCache, apply_plan
from pycompress.convert.judge import Judge, Verdict
from pycompress.convert.plan import SAFER, Choice, Plan
from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.convert.costs import Costs

SENSITIVITY_ELEMENTS = 2**20
SENSITIVITY_FEEDS = 4
"""A node's sensitivity is measured on this many feeds at most, and no more once their inputs have
so many elements together."""

RESERVE = 0.8
"""Share of the bounds that the forecast of a step aims at."""

TAKEN_BACK = 12
"""Times that a part of the moves is tried without."""


class BudgetError(RuntimeError):
    """The bounds can't be kept: nothing was written."""


@dataclass(frozen=True)
class Held:
    """What came of holding a plan to its bounds.

    Attributes
    ----------
    plan : Plan
        The plan, with the nodes that had to be moved and the reason in their choices.
    graph : Graph
        The plan carried out.
    verdict : Verdict
        How `graph` stands.
    moved : int
        How many nodes were moved to a safer precision.
    spread : int
        How many dynamic linears are in float for other runtimes.
    """

    plan: Plan
    graph: Graph
    verdict: Verdict
    moved: int
    spread: int = 0


class Budget:
    """Measures plans of one graph, and mends the ones that cost too much.

    Parameters
    ----------
    graph : Graph
        The float graph in preset formats, residuals separated.
    ranges : dict of (low, high) by value name
    weights : WeightCache
    judge : Judge
    costs : Costs, optional
        Time and bytes of each node in each precision; without it a step down costs the same
        everywhere.

    Attributes
    ----------
    tried : list of (Plan, Verdict)
        What `hold` went through.
    """

    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[str, Range],
        weights: WeightCache,
        judge: Judge,
        costs: Costs | None = None,
    ) -> None:
        self.graph, self.ranges, self.weights = graph, ranges, weights
        self.judge, self.costs = judge, costs
        self.tried: list[tuple[Plan, Verdict]] = []
        self._feeds = _some(judge)
        self._sensitivity: dict[tuple[str, str, bool], float] = {}

    def carried_out(self, plan: Plan, *, elsewhere: bool = False) -> Graph:
        """Return the graph that a plan makes with the ranges that were taken over."""
        return apply_plan(self.graph, plan, self.ranges, self.weights, elsewhere=elsewhere)

    def verdict(self, plan: Plan, *, elsewhere: bool = False) -> Verdict:
        """Return how the graph that a plan makes stands."""
        return self.judge.verdict(self.carried_out(plan, elsewhere=elsewhere))

    def best_ranges(
        self, trials: Sequence[tuple[str, Plan, Mapping[str, Range]]]
    ) -> tuple[str, Plan]:
        """Take over the ranges that agree best, and return their name and plan."""
        best, least = trials[0], (np.inf, np.inf)
        for trial in trials if len(trials) > 1 else ():
            self.ranges = trial[2]
            found = self.verdict(trial[1])
            # flips are few and coarse, and so may a metric be: the cosine decides between equals
            score = (found.share, sum(1.0 - o.cosine_mean for o in found.agreement.outputs))
            if score < least:
                best, least = trial, score
        name, plan, self.ranges = best
        return name, plan

    def sensitivity(self, plan: Plan, choice: Choice, *, elsewhere: bool = False) -> float:
        """Return the relative error energy at the outputs when only this node is converted."""
        key = (choice.key, choice.precision, elsewhere)
        if choice.precision == "float":
            return 0.0
        if key not in self._sensitivity:
            alone = plan.change([choice]).only({choice.key})
            run = self.judge.make_run(self.carried_out(alone, elsewhere=elsewhere))
            self._sensitivity[key] = max(
                relative_error(wanted, run(feed))
                for wanted, feed in zip(self.judge.wanted, self._feeds, strict=False)
            )
        return self._sensitivity[key]

    def hold(self, plan: Plan, tell: Callable[[str], None]) -> Held:
        """Move nodes to safer precisions until the bounds are kept, the cheapest way first.

        Then the same for what other runtimes make of the file, where that differs.
        """
        held = self._hold_elsewhere(self._hold_here(plan, tell), tell)
        return replace(held, graph=self.carried_out(held.plan)) if held.spread else held

    def _hold_elsewhere(self, held: Held, tell: Callable[[str], None]) -> Held:
        spread = 0
        while True:
            left = [c for c in held.plan if c.precision == "dynamic" and c.format == "linear"]
            if not left:
                return held
            verdict = self.verdict(held.plan, elsewhere=True)
            if verdict.kept:
                return held
            tell(f"in other runtimes {self.judge.describe(verdict)}: measuring nodes")
            errors = self._measured(held.plan, left, tell, elsewhere=True)
            worst = sorted(left, key=lambda c: -errors[c.key])[: max(1, len(left) // 8)]
            reason = "ranges found at run time, one for each row; other runtimes, which would take"
            reason += " one for all, run it in float"
            spread += len(worst)
            plan = held.plan.change([replace(c, precision="rows", reason=reason) for c in worst])
            held = replace(held, plan=plan, spread=spread)

    def _hold_here(self, plan: Plan, tell: Callable[[str], None]) -> Held:
        first = plan
        graph = self.carried_out(plan)
        found = self.judge.verdict(graph)
        while not found.kept:
            left = [choice for choice in plan if choice.precision != "float"]
            if not left:
                break
            tell(f"{self.judge.describe(found)}: measuring nodes")
            errors = self._measured(plan, left, tell)
            plan = plan.change(self._steps(plan, left, errors, found.share))
            graph = self.carried_out(plan)
            found = self.judge.verdict(graph)
            self.tried.append((plan, found))
        moved = [c for c in plan if c.precision != first.choices[c.key].precision]
        held = Held(plan, graph, found, len(moved))
        return self._taken_back(first, held, moved, tell) if found.kept else held

    def _measured(
        self,
        plan: Plan,
        left: Sequence[Choice],
        tell: Callable[[str], None],
        *,
        elsewhere: bool = False,
    ) -> dict[str, float]:
        """Return the sensitivity of each choice, and say how long it will take."""
        start, fresh = time.perf_counter(), 0
        errors = {}
        for index, choice in enumerate(left):
            fresh += (choice.key, choice.precision, elsewhere) not in self._sensitivity
            errors[choice.key] = self.sensitivity(plan, choice, elsewhere=elsewhere)
            if fresh:
                each = (time.perf_counter() - start) / fresh
                rest = each * (len(left) - index - 1)
                tell(f"measuring nodes: {index + 1} of {len(left)}, {rest:.0f} s left")
        return errors

    def _steps(
        self, plan: Plan, left: Sequence[Choice], errors: Mapping[str, float], share: float
    ) -> list[Choice]:
        """Return the moves that promise to keep the bounds, those that gain most for their price.

        The forecast: errors of nodes add up, and the share of the bounds falls with their sum.
        """
        total = sum(errors.values())
        target = total * RESERVE / share if np.isfinite(share) and np.isfinite(total) else 0.0
        # half of the nodes carry nearly all of the error; the others' moves need not be looked at
        worst = sorted(left, key=lambda c: -errors[c.key])[: max(1, len(left) // 2)]
        moves = []
        for choice in worst:
            after, gain = self._safer(plan, choice)
            moves.append((gain / self._price(choice, after), gain, choice, after))
        moves.sort(key=lambda move: -move[0])
        taken: list[Choice] = []
        for _, gain, choice, after in moves:
            if total <= target and taken:
                break
            total -= gain
            reason = (
                f"'{choice.precision}' cost too much: relative error {errors[choice.key]:.1e} at "
                "the outputs from this node alone"
            )
            taken.append(replace(after, reason=reason))
        return taken

    def _price(self, before: Choice, after: Choice) -> float:
        return 1.0 if self.costs is None else self.costs.price(before, after)

    def _safer(self, plan: Plan, choice: Choice) -> tuple[Choice, float]:
        """Return the choice at the next precision that lowers its error, and by how much."""
        before = self.sensitivity(plan, choice)
        after = choice
        while after.precision != "float":
            after = replace(after, precision=SAFER[after.precision])
            if self.sensitivity(plan, after) < 0.7 * before:
                break
        gain = before - self.sensitivity(plan, after)
        return after, gain if np.isfinite(gain) else np.inf

    def _taken_back(
        self, first: Plan, held: Held, moved: Sequence[Choice], tell: Callable[[str], None]
    ) -> Held:
        """Undo the moves that turn out not to be needed: the dearest half, a quarter, ..."""
        left = sorted(moved, key=lambda c: -self._price(first.choices[c.key], c))
        size = len(left) // 2
        for _ in range(TAKEN_BACK):
            if not left:
                break
            size = max(1, min(size, len(left)))
            tell(f"trying without {size} of {held.moved} moves")
            back = left[:size]
            plan = held.plan.change([first.choices[c.key] for c in back])
            graph = self.carried_out(plan)
            verdict = self.judge.verdict(graph)
            if verdict.kept:
                held = Held(plan, graph, verdict, held.moved - size)
                left = left[size:]
            elif size > 1:
                size //= 2
            else:  # that one is needed
                left, size = left[1:], len(left) // 4
        return held


def _some(judge: Judge) -> list[Mapping[str, np.ndarray]]:
    feeds: list[Mapping[str, np.ndarray]] = []
    elements = 0
    for feed in judge.held_back[:SENSITIVITY_FEEDS]:
        if feeds and elements >= SENSITIVITY_ELEMENTS:
            break
        feeds.append(feed)
        elements += sum(np.asarray(array).size for array in feed.values())
    return feeds


def relative_error(wanted: Iterable[np.ndarray], found: Iterable[np.ndarray]) -> float:
    """Return the largest squared error of an output over its squared size.

    Infinite if infinities moved.
    """
    worst = 0.0
    for a, b in zip(wanted, found, strict=True):
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        finite = np.isfinite(x)
        if not np.array_equal(finite, np.isfinite(y)):
            return float("inf")
        size = float(np.square(x[finite]).sum())
        error = float(np.square(x[finite] - y[finite]).sum())
        worst = max(worst, error / size if size > 0 else (0.0 if error == 0 else float("inf")))
    return worst
