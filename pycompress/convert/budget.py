"""Hold a plan to a bound: the nodes that hurt most move to a safer precision until it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pycompress.calibration import Feed, Range, Run
from pycompress.convert.agreement import Agreement, agreement
from pycompress.convert.apply import WeightCache, apply_plan
from pycompress.convert.plan import SAFER, Choice, Plan
from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable

MakeRun: TypeAlias = Callable[[Graph], Run]
"""Builds what runs a graph, by default a session."""

SENSITIVITY_FEEDS = 4
"""Feeds that a node's sensitivity is measured on."""

SHARE_MOVED = 8
"""One node in this many (at least one) is moved before the bound is tried again."""


@dataclass(frozen=True)
class Held:
    """What came of holding a plan to a bound.

    Attributes
    ----------
    plan : Plan
        The plan, with the nodes that had to be moved and the reason in their choices.
    graph : Graph
        The plan carried out.
    agreement : Agreement
        Between `graph` and the float model, on the held-back feeds.
    moved : int
        How many steps to a safer precision were taken.
    spread : int
        How many dynamic linears are in float for other runtimes.
    """

    plan: Plan
    graph: Graph
    agreement: Agreement
    moved: int
    spread: int = 0


class Budget:
    """Measures plans on feeds that calibration has not seen.

    Parameters
    ----------
    graph : Graph
        The float graph in preset formats, residuals separated.
    ranges : dict of (low, high) by value name
    weights : WeightCache
    held_back : sequence of dict
        Feeds; at least one.
    make_run : callable
        Graph -> what runs it.
    """

    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[str, Range],
        weights: WeightCache,
        held_back: Sequence[Feed],
        make_run: MakeRun,
    ) -> None:
        self.graph, self.ranges, self.weights = graph, ranges, weights
        self.held_back, self.make_run = held_back, make_run
        self.names = [v.name for v in graph.outputs]
        run = make_run(graph)
        self.wanted = [run(feed) for feed in held_back]
        self._sensitivity: dict[tuple[str, str, bool], float] = {}

    def measure(self, graph: Graph) -> Agreement:
        """Return the agreement of a converted graph with the float one."""
        run = self.make_run(graph)
        return agreement(self.names, self.wanted, [run(feed) for feed in self.held_back])

    def best_ranges(
        self, trials: Sequence[tuple[str, Plan, Mapping[str, Range]]]
    ) -> tuple[str, Plan]:
        """Take over the ranges that agree best, and return their name and plan."""
        best, least = trials[0], np.inf
        for trial in trials if len(trials) > 1 else ():
            self.ranges = trial[2]
            drop = self.measure(self.carried_out(trial[1])).drop
            if drop < least:
                best, least = trial, drop
        name, plan, self.ranges = best
        return name, plan

    def sensitivity(self, plan: Plan, choice: Choice, *, elsewhere: bool = False) -> float:
        """Return the relative error energy at the outputs when only this node is converted."""
        key = (choice.key, choice.precision, elsewhere)
        if key not in self._sensitivity:
            run = self.make_run(self.carried_out(plan.only({choice.key}), elsewhere=elsewhere))
            self._sensitivity[key] = max(
                _relative_error(wanted, run(feed))
                for wanted, feed in zip(
                    self.wanted[:SENSITIVITY_FEEDS], self.held_back, strict=False
                )
            )
        return self._sensitivity[key]

    def hold(self, plan: Plan, max_drop: float, progress: Callable[[str], None]) -> Held:
        """Move the most sensitive nodes to safer precisions until the drop is within `max_drop`.

        Then the same for what other runtimes make of the file, where that differs.
        """
        held = self._hold_elsewhere(self._hold_here(plan, max_drop, progress), max_drop, progress)
        return replace(held, graph=self.carried_out(held.plan)) if held.spread else held

    def carried_out(self, plan: Plan, *, elsewhere: bool = False) -> Graph:
        """Return the graph that a plan makes with the ranges that were taken over."""
        return apply_plan(self.graph, plan, self.ranges, self.weights, elsewhere=elsewhere)

    def _hold_elsewhere(self, held: Held, max_drop: float, progress: Callable[[str], None]) -> Held:
        spread = 0
        while True:
            left = [c for c in held.plan if c.precision == "dynamic" and c.format == "linear"]
            if not left:
                return held
            drop = self.measure(self.carried_out(held.plan, elsewhere=True)).drop
            if drop <= max_drop:
                return held
            progress(f"in other runtimes agreement would drop by {drop:.4f}: measuring nodes")
            worst = sorted(
                left,
                key=lambda c: self.sensitivity(held.plan, c, elsewhere=True),
                reverse=True,
            )[: max(1, len(left) // SHARE_MOVED)]
            reason = "ranges found at run time, one for each row; other runtimes, which would take"
            reason += " one for all, run it in float"
            spread += len(worst)
            plan = held.plan.change([replace(c, precision="rows", reason=reason) for c in worst])
            held = replace(held, plan=plan, spread=spread)

    def _hold_here(self, plan: Plan, max_drop: float, progress: Callable[[str], None]) -> Held:
        moved = 0
        while True:
            graph = self.carried_out(plan)
            found = self.measure(graph)
            left = [choice for choice in plan if choice.precision != "float"]
            if found.drop <= max_drop or not left:
                return Held(plan, graph, found, moved)
            progress(f"agreement drops by {found.drop:.4f} ({max_drop:g} allowed): measuring nodes")
            worst = sorted(left, key=lambda c: self.sensitivity(plan, c), reverse=True)
            steps = [
                self._safer(plan, c, max_drop) for c in worst[: max(1, len(left) // SHARE_MOVED)]
            ]
            moved += len(steps)
            plan = plan.change(steps)

    def _safer(self, plan: Plan, choice: Choice, max_drop: float) -> Choice:
        """Return the choice at the next precision that lowers this node's own error."""
        before = self.sensitivity(plan, choice)
        after = choice
        while after.precision != "float":
            after = replace(after, precision=SAFER[after.precision])
            if (
                after.precision == "float"
                or self.sensitivity(plan.change([after]), after) < 0.7 * before
            ):
                break
        reason = (
            f"'{choice.precision}' cost too much: relative error {before:.1e} at the outputs from"
            f" this node alone, while the drop of the whole may be {max_drop:g}"
        )
        return replace(after, reason=reason)


def _relative_error(wanted: Iterable[np.ndarray], found: Iterable[np.ndarray]) -> float:
    """Largest squared error of an output over its squared size; infinite if infinities moved."""
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
