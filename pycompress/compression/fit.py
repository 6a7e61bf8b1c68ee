"""What calibration sees of one graph, and the weights that are rounded by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pycompress.calibration import Histogram, Moments, ScaledMoments, collect, watched
from pycompress.compression.sessions import run_to
from pycompress.convert import WeightCache, choose_ranges, observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pycompress.calibration import Feed, Range, RangeMethod
    from pycompress.convert import Layer, Plan
    from pycompress.graph import Graph


class Fit:
    """Histograms of the values in integers and moments of layers' inputs, over a stream of feeds.

    Parameters
    ----------
    graph : Graph
        The float graph.
    plan : Plan
        Its static nodes' values are watched.
    layers : sequence of Layer
        Their moments are filled in.
    like : Fit, optional
        Of the same graph, but for some values: what it sees of the others counts here as well. It
        has to take in the same feeds.
    divided : dict of tuple of int by name of value
        Where the graph is not as it is there: each channel of these is divided by two to the power
        of that.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        layers: Sequence[Layer],
        like: Fit | None = None,
        divided: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.graph, self.plan = graph, plan
        self._like = like
        divided = divided or {}
        self.layers: list[Layer] = (
            list(layers) if like is None else _scaled(layers, like.layers, divided)
        )
        self._readers: dict[str, list[Moments]] = {}
        for layer in layers if like is None else ():
            if isinstance(layer.moments, Moments):
                self._readers.setdefault(layer.source, []).append(layer.moments)
        static = {node for node in graph.nodes if plan.precision(node) == "static"}
        self._names = observed(graph, static)
        others = {} if like is None else like.histograms
        self._own = {
            name: Histogram() for name in self._names if name in divided or name not in others
        }
        self._run = run_to(graph, watched(self._own, self._readers))
        self._seen = 0
        self._weights: tuple[int, WeightCache] | None = None
        self._ranges: dict[RangeMethod, tuple[int, dict[str, Range]]] = {}

    @property
    def histograms(self) -> dict[str, Histogram]:
        """Return what was seen of each value in integers, by name."""
        others = {} if self._like is None else self._like.histograms
        return {n: self._own[n] if n in self._own else others[n] for n in self._names}

    def take(self, feeds: Iterable[Feed], tell: Callable[[str], None]) -> None:
        """Take feeds in; a stream may come in parts."""

        def told() -> Iterator[Feed]:
            for feed in feeds:
                self._seen += 1
                tell(f"calibrating: feed {self._seen}")
                yield feed

        collect(self._run, list(self._own), told(), self._readers, self._own)

    def ranges(self, method: RangeMethod) -> dict[str, Range]:
        """Return the ranges of what was seen so far, chosen one way."""
        if method not in self._ranges or self._ranges[method][0] != self._seen:
            found = choose_ranges(self._own, method)
            if self._like is not None:
                others = self._like.ranges(method)
                found |= {name: r for name, r in others.items() if name not in self._own}
            self._ranges[method] = (self._seen, {n: found[n] for n in self._names if n in found})
        return self._ranges[method][1]

    def weights(self) -> WeightCache:
        """Return the weights, rounded by what was seen so far."""
        if self._weights is None or self._weights[0] != self._seen:
            made = WeightCache()
            if self._like is not None:
                made.take_over(self._like.weights(), self.layers)
            made.round(self.layers)
            self._weights = (self._seen, made)
        return self._weights[1]


def _scaled(
    layers: Sequence[Layer], known: Sequence[Layer], divided: Mapping[str, Sequence[int]]
) -> list[Layer]:
    """Return layers whose moments are those of the same layers of another graph, divided."""
    found = []
    for layer, other in zip(layers, known, strict=True):
        moments = other.moments
        if other.source in divided and layer.source == other.source:
            moments = ScaledMoments(moments, np.exp2(-np.array(divided[other.source], float)))
        found.append(replace(layer, moments=moments))
    return found
