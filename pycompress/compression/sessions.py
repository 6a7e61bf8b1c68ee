"""Sessions that run graphs while a model is compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.calibration import Feed, Run
    from pycompress.graph import Graph


def run_to(graph: Graph, names: Sequence[str]) -> Run:
    """Return what computes the named values of a graph."""
    given = {v.name for v in graph.inputs}
    computed = [name for name in names if name not in given]
    if not computed:
        return lambda feed: [feed[name] for name in names]
    session = InferenceSession(graph, outputs=computed)

    def run(feed: Feed) -> list[np.ndarray]:
        found = dict(zip(computed, session.run(computed, dict(feed)), strict=True))
        return [found[name] if name in found else np.asarray(feed[name]) for name in names]

    return run


def make_run(graph: Graph) -> Run:
    """Return what computes the outputs of a graph."""
    session = InferenceSession(graph)
    return lambda feed: session.run(None, dict(feed))
