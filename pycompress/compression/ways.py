"""Ways of converting a model, side by side: what each takes, as a whole and node by node."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycompress.convert import Costs, weight_bytes, work_of
from pycompress.report.ledger import stored_bytes
from pycompress.report.views import Alternative
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.calibration import Feed
    from pycompress.convert import Plan, Precision, Shapes, Verdict
    from pycompress.graph import Graph

ROUNDS = 7
SECONDS = 3.0
"""Rounds of timing, and the time after which no further one begins (two are always made)."""

PROFILED = 3
"""Runs that the times of nodes are taken from."""


@dataclass
class Way:
    """One way of converting the model.

    Attributes
    ----------
    name : str
    plan : Plan or None
        None for the float model.
    graph : Graph
    verdict : Verdict or None
        None for the float model.
    ms : float
        The fastest of some runs on one thread; NaN before `measure`.
    by_node : dict of float by name of node
        Milliseconds.
    """

    name: str
    plan: Plan | None
    graph: Graph
    verdict: Verdict | None = None
    ms: float = float("nan")
    by_node: dict[str, float] = field(default_factory=dict)


def measure(ways: Sequence[Way], feed: Feed, *, nodes: bool = False) -> None:
    """Time the ways, in turn, so that a busy moment hits all alike; the fastest run counts.

    Parameters
    ----------
    ways : sequence of Way
        `ms` is filled in, and `by_node`.
    feed : dict
    nodes : bool
        Whether to time the nodes too.
    """
    sessions = [InferenceSession(way.graph, num_threads=1) for way in ways]
    for way, session in zip(ways, sessions, strict=True):
        session.run(None, dict(feed))  # plans the run
        if nodes:
            rows = session.profile(dict(feed), PROFILED)
            way.by_node = {row.name: row.ms / max(row.calls, 1) for row in rows}
        way.ms = float("inf")
    end = time.perf_counter() + SECONDS
    for turn in range(ROUNDS):
        if turn >= 2 and time.perf_counter() > end:
            break
        for way, session in zip(ways, sessions, strict=True):
            # a session of one thread runs on the caller's, whose own time does not grow with what
            # else the machine does
            start = time.thread_time()
            session.run(None, dict(feed))
            way.ms = min(way.ms, (time.thread_time() - start) * 1e3)


def costs(graph: Graph, ways: Sequence[Way], plan: Plan, shapes: Shapes) -> Costs:
    """Return what nodes cost: by their sizes, and from the ways in which they were measured.

    The first way is the float model. Where a precision was measured twice the faster time counts.
    """
    ms: dict[tuple[str, Precision], float] = {}
    for choice in plan:
        for way in ways:
            precision = "float" if way.plan is None else way.plan.choices[choice.key].precision
            if choice.node in way.by_node:
                taken = way.by_node[choice.node]
                ms[choice.key, precision] = min(ms.get((choice.key, precision), taken), taken)
    work = work_of(graph, plan, shapes)
    return Costs(work, ms, weight_bytes(graph, plan), constant_bytes(graph))


def shown(ways: Sequence[Way], chosen: Way) -> tuple[Alternative, ...]:
    """Return the ways as the report shows them."""
    return tuple(
        Alternative(
            way.name,
            constant_bytes(way.graph),
            way.ms,
            0.0 if way.verdict is None else way.verdict.share,
            way is chosen,
        )
        for way in ways
    )


def constant_bytes(graph: Graph) -> int:
    """Return the bytes of all constants that nodes read, each counted once."""
    constants = {
        id(value.const): value.const
        for node in graph.everywhere()
        for value in node.inputs
        if value is not None and value.const is not None
    }
    return sum(stored_bytes(constant) for constant in constants.values())
