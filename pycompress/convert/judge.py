"""What a converted model is held to: agreement with the float one, or a measure of the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pycompress.calibration import Feed, Run
from pycompress.convert.agreement import Agreement, OutputAgreement, agreement
from pycompress.convert.plan import PlanError
from pycompress.graph.ir import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

MakeRun: TypeAlias = Callable[[Graph], Run]
"""Builds what runs a graph, by default a session."""

Metric: TypeAlias = Callable[[Run], float]
"""Takes what runs the model on a feed and returns how good the model is; more is better."""

TINY = 1e-9
"""A bound below this is taken for it: cosines are no more exact than that."""


SEQUENCE_FLIPS, SEQUENCE_COSINE = 0.5, 0.15
"""Shares of the bounds that scores for each step of a sequence get.

The cosine is the one that counts: of some hundred steps so few move that their number is noise.
"""


def _measured(metric: Metric, run: Run) -> float:
    found = metric(run)
    try:
        return float(found)
    except (TypeError, ValueError):
        msg = f"metric: found {found!r}, wanted a number"
        raise PlanError(msg) from None


@dataclass(frozen=True)
class Bounds:
    """How far the answers may move.

    Attributes
    ----------
    cosine : float
        How far the mean cosine of any output may fall below 1.
    flips : float
        Share of the rows of class scores whose first place may move. Where rows are the steps of a
        sequence, which goes wrong with any of them, half of it holds, and 0.15 of `cosine`.
    metric : float
        How far the caller's measure may fall below that of the float model; it alone counts where
        there is one.
    """

    cosine: float = 0.005
    flips: float = 0.02
    metric: float = 0.005

    @classmethod
    def within(cls, max_drop: float | None) -> Bounds:
        """Return the bounds for a `max_drop` of the caller's; None: the defaults."""
        return cls() if max_drop is None else cls(max_drop, max_drop, max_drop)


@dataclass(frozen=True)
class Verdict:
    """How a converted model stands.

    Attributes
    ----------
    agreement : Agreement
        With the float model on the held-back feeds.
    share : float
        Of what the bounds allow, how much is used up; infinite where the answers are not finite.
    metric : float or None
        The caller's measure of the converted model.
    """

    agreement: Agreement
    share: float
    metric: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the bounds are kept."""
        return self.share <= 1.0


class Judge:
    """Holds converted graphs against the float one.

    Parameters
    ----------
    graph : Graph
        The float graph.
    held_back : sequence of dict
        Feeds; at least one.
    make_run : callable
        Graph -> what runs it.
    bounds : Bounds
    metric : callable, optional
        Takes what runs a model, a function from a feed to a list of arrays; returns a number, more
        is better.

    Raises
    ------
    PlanError
        `metric` gives no finite number for the float model.
    """

    def __init__(
        self,
        graph: Graph,
        held_back: Sequence[Feed],
        make_run: MakeRun,
        bounds: Bounds | None = None,
        metric: Metric | None = None,
    ) -> None:
        self.held_back, self.make_run = held_back, make_run
        self.bounds, self.metric = bounds or Bounds(), metric
        self._names = [v.name for v in graph.outputs]
        run = make_run(graph)
        self.wanted = [run(feed) for feed in held_back]
        self.before = None if metric is None else _measured(metric, run)
        if self.before is not None and not math.isfinite(self.before):
            msg = f"metric: found {self.before} for the float model, wanted a finite number"
            raise PlanError(msg)

    def verdict(self, graph: Graph) -> Verdict:
        """Return how a converted graph stands."""
        run = self.make_run(graph)
        found = agreement(self._names, self.wanted, [run(feed) for feed in self.held_back])
        if self.metric is None or self.before is None:
            return Verdict(found, self.share(found))
        after = _measured(self.metric, run)
        used = (self.before - after) / max(self.bounds.metric, TINY)
        return Verdict(found, max(used, 0.0) if math.isfinite(after) else math.inf, after)

    def share(self, found: Agreement) -> float:
        """Return how much of what the bounds on agreement allow is used up."""
        return max(
            [0.0]
            + [(1.0 - o.cosine_mean) / max(self._cosine(o), TINY) for o in found.outputs]
            + [o.flips / max(self._flips(o), TINY) for o in found.outputs]
        )

    def _flips(self, output: OutputAgreement) -> float:
        """Return which share of an output's first places may move."""
        return self.bounds.flips * (SEQUENCE_FLIPS if output.sequences else 1.0)

    def _cosine(self, output: OutputAgreement) -> float:
        """Return how far an output's mean cosine may fall."""
        return self.bounds.cosine * (SEQUENCE_COSINE if output.sequences else 1.0)

    def describe(self, verdict: Verdict) -> str:
        """Return a sentence's part that says what a model lost and what it may lose."""
        if verdict.metric is not None and self.before is not None:
            lost = self.before - verdict.metric
            return f"the metric falls by {lost:.4g}, {self.bounds.metric:g} allowed"
        outputs, parts = verdict.agreement.outputs, []
        if outputs:
            worst = max(outputs, key=lambda o: (1 - o.cosine_mean) / max(self._cosine(o), TINY))
            fallen, most = 1.0 - worst.cosine_mean, self._cosine(worst)
            parts.append(f"the mean cosine falls by {fallen:.2g}, {most:g} allowed")
        scores = [o for o in outputs if o.classes]
        if scores:
            worst = max(scores, key=lambda o: o.flips / max(self._flips(o), TINY))
            moved, allowed = f"{worst.flips:.2%}", f"{self._flips(worst):.2%}"
            parts.append(f"{moved} of the first places move, {allowed} allowed")
        return "; ".join(parts)
