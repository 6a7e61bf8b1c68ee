"""The other ways in which a model could have been converted: what each would have come to."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from pycompress.report.ledger import stored_bytes
from pycompress.report.views import Alternative
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompress.calibration import Feed
    from pycompress.graph import Graph

ROUNDS = 5


def alternatives(
    graphs: Mapping[str, Graph], drops: Mapping[str, float], chosen: str, feed: Feed
) -> tuple[Alternative, ...]:
    """Return size, time and drop of each graph.

    Parameters
    ----------
    graphs : dict of Graph by name
    drops : dict of float by name
        How far agreement falls.
    chosen : str
        The name of the one that was taken.
    feed : dict
        What is timed; graph by graph in turn, so that a busy moment hits all alike.
    """
    sessions = {name: InferenceSession(graph, num_threads=1) for name, graph in graphs.items()}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(ROUNDS + 1):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, dict(feed))
            if turn:  # the first plans the run and warms up
                times[name].append(time.perf_counter() - start)
    return tuple(
        Alternative(
            name,
            constant_bytes(graph),
            statistics.median(times[name]) * 1e3,
            drops[name],
            chosen=name == chosen,
        )
        for name, graph in graphs.items()
    )


def constant_bytes(graph: Graph) -> int:
    """Return the bytes of all constants that nodes read, each counted once."""
    constants = {
        id(value.const): value.const
        for node in graph.nodes
        for value in node.reads()
        if value.const is not None
    }
    return sum(stored_bytes(constant) for constant in constants.values())
