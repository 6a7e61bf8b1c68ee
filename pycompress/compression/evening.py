"""Look for places where channels can be evened out, and keep to what makes the model err less."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, get_args

import numpy as np

from pycompress.calibration import Channels
from pycompress.compression.fit import Fit
from pycompress.compression.sessions import make_run, run_to
from pycompress.compression.wishes import EVENED_MODES
from pycompress.convert import (
    Budget,
    Judge,
    Kind,
    apply_plan,
    best_factors,
    even_out,
    find_streams,
    make_plan,
    read_values,
    relative_error,
    settle,
    verify_evened,
    wanted_moments,
)

if TYPE_CHECKING:
    from pycompress.calibration import Feed, Split
    from pycompress.compression.wishes import Switch, Wishes
    from pycompress.convert import Bounds, Evened, Stream, Verdict
    from pycompress.graph import Graph

HEAD = 32
"""Feeds that the choice is made by, and that are kept so long, if memory allows for them."""

COMPARED = 16
"""Of those that ranges are fitted to so many are compared, beside the ones that are held back."""

LEAST_HELD, LEAST_COMPARED = 4, 8
"""With fewer feeds nothing can be said of others, and nothing is evened out."""

CLEARLY = 0.9
"""The errors on examples that are held back must fall to this share of what they were."""

ON_ALL = 0.95
"""The geometric mean of the errors on all examples must, too."""

UNFELT = 0.01
"""An error that is a smaller share of what the bounds allow is taken for as much."""

ROOM = 0.5
"""Of what the bounds allow so much may be used up whatever it was before. A model that uses up no
more is not evened out where that takes a multiplication when it runs."""


@dataclass
class Trial:
    """A graph that was fitted to the first feeds, and how it errs in integers on each.

    Attributes
    ----------
    fit : Fit
    verdict : Verdict
        On the feeds held back.
    errors : ndarray
        Of each feed: the ones held back first.
    """

    fit: Fit
    verdict: Verdict
    errors: np.ndarray


class Evening:
    """Tries factors at all places of a graph, on the first feeds of a stream.

    Parameters
    ----------
    graph : Graph
        The float graph, residuals separated where nodes are static.
    wishes : Wishes
    split : Split
        Where feeds come from.
    tell : callable

    Attributes
    ----------
    evened : list of Evened
        What was done, and what was not, after `fit`.
    """

    def __init__(
        self, graph: Graph, wishes: Wishes, split: Split, tell: Callable[[str], None]
    ) -> None:
        self.graph, self.wishes, self._tell = graph, wishes, tell
        self._split = split
        self.evened: list[Evened] = []
        self._head: list[Feed] = []

    def fits(self) -> list[Fit]:
        """Return what calibration sees: of the graph evened out, then as it is where both count."""
        places = self._places()
        feeds: Iterable[Feed] = iter(self._split)
        before = self._fit(self.graph)
        found = [before]
        if places:
            self._head = _head(feeds, self.wishes.memory // 4)
            before.take(self._head, self._tell)
            best = self._evened(before, places)
            found = [before] if best is before else [best, before]
        for feed in feeds:
            before.take([feed], self._tell)
            if found[0] is not before:
                found[0].take([feed], lambda _: None)
        self._head = []
        asked = any(self._wish(kind) == "on" and self._taken(kind) for kind in get_args(Kind))
        return found[:1] if asked else found

    def give_up(self, reason: str) -> None:
        """Say that nothing is evened out after all."""
        for kind in get_args(Kind):
            self._leave(self._taken(kind), reason)

    def _places(self) -> list[Stream]:
        if self.wishes.mode not in EVENED_MODES:
            return []
        return [s for s in find_streams(self.graph)[0] if self._wish(s.kind) != "off"]

    def _wish(self, kind: Kind) -> Switch:
        return self.wishes.smooth if kind == "smooth" else self.wishes.equalize

    def _fit(
        self,
        graph: Graph,
        like: Fit | None = None,
        divided: Mapping[str, Sequence[int]] | None = None,
    ) -> Fit:
        plan = make_plan(graph, self.wishes.mode, calibrated=True, exclude=self.wishes.exclude)
        layers = wanted_moments(graph, plan, self.wishes.memory)
        return Fit(graph, plan, layers, like, divided)

    def _evened(self, fit: Fit, places: Sequence[Stream]) -> Fit:
        """Return the fit of the graph with all that is taken."""
        before, held = fit, list(self._split.held_back)
        enough = len(held) >= LEAST_HELD and len(held) + len(self._head) >= LEAST_COMPARED
        self._tell(f"looking at {len(places)} places where channels can be evened out")
        seen = [self._seen(places, feeds) for feeds in (self._head, held)]
        self.evened = [
            best_factors(place, fit.plan, *seen, forced=self._wish(place.kind) == "on")
            for place in places
        ]
        if not any(place.taken for place in self.evened):
            return fit
        judge = Judge(self.graph, held, make_run, self.wishes.bounds, self.wishes.metric)
        costly = {place.key for place in places if place.whole}
        trial: Trial | None = None
        for kind in get_args(Kind):
            if self._wish(kind) == "on":
                fit = self._with(kind, judge, before) or fit
                continue
            if not enough:
                few = "there are too few examples to tell whether it helps with others"
                self._leave(self._taken(kind), few)
            if not self._taken(kind):
                continue
            trial = trial or self._trial(fit, judge)
            if trial.verdict.share <= ROOM:
                room = f"it takes a multiplication, and the model uses {trial.verdict.share:.2f} of"
                room += " what the bounds allow as it is"
                self._leave(self._taken(kind) & costly, room)
            other = self._with(kind, judge, before)
            if other is None:
                continue
            self._tell(f"trying to {kind} {len(self._taken(kind))} places")
            tried = self._trial(other, judge)
            reason = _worse(trial, tried, len(held), self.wishes.bounds)
            if reason:
                self._leave(self._taken(kind), reason)
            else:
                fit, trial = other, tried
        return fit

    def _taken(self, kind: Kind) -> set[str]:
        return {place.key for place in self.evened if place.kind == kind and place.taken}

    def _with(self, kind: Kind, judge: Judge, before: Fit) -> Fit | None:
        """Return a fit of the graph with a kind of places evened out, beside those before it."""
        done = get_args(Kind)[: get_args(Kind).index(kind) + 1]
        powers = {p.key: p.exponents for p in self.evened if p.taken and p.kind in done}
        if not self._taken(kind):
            return None
        graph = even_out(self.graph, powers)
        verify_evened(self.graph, graph, powers)
        if not _same_answers(graph, judge):
            left = "the float model's answers would not keep their bits"
            self._leave(self._taken(kind), left)
            return None
        divided = {
            value: powers[stream.key]
            for stream in find_streams(self.graph)[0]
            if stream.key in powers
            for value in stream.values
        }
        found = self._fit(graph, before, divided)
        found.take(self._head, lambda _: None)
        return found

    def _leave(self, keys: Collection[str], reason: str) -> None:
        self.evened = [
            replace(e, taken=False, reason=reason) if e.key in keys else e for e in self.evened
        ]

    def _seen(self, places: Sequence[Stream], feeds: Sequence[Feed]) -> dict[str, Channels]:
        """Return what the readers' inputs look like, channel by channel."""
        axes = {name: axis for place in places for name, axis in read_values(place).items()}
        found = {name: Channels(axis) for name, axis in axes.items()}
        run = run_to(self.graph, list(found))
        for feed in feeds:
            for observer, tensor in zip(found.values(), run(feed), strict=True):
                observer.update(tensor)
        return found

    def _trial(self, fit: Fit, judge: Judge) -> Trial:
        weights = fit.weights()
        budget = Budget(fit.graph, {}, weights, judge)
        methods = self.wishes.methods if fit.histograms else self.wishes.methods[:1]
        found = {name: fit.ranges(name) for name in methods}
        trials = [(name, settle(fit.graph, fit.plan, r, weights), r) for name, r in found.items()]
        _, plan = budget.best_ranges(trials)
        graph = apply_plan(fit.graph, plan, budget.ranges, weights)
        run, real = make_run(graph), make_run(self.graph)
        some = self._head[:COMPARED]
        pairs = [*zip(judge.wanted, judge.held_back, strict=True), *((real(f), f) for f in some)]
        errors = [relative_error(wanted, run(feed)) for wanted, feed in pairs]
        return Trial(fit, judge.verdict(graph), np.array(errors))


def _head(feeds: Iterable[Feed], memory: int) -> list[Feed]:
    """Return the first feeds of a stream: no more than fit into the memory, but a few."""
    head: list[Feed] = []
    for feed in islice(feeds, HEAD):
        head.append(feed)
        memory -= sum(np.asarray(array).nbytes for array in feed.values())
        if memory < 0 and len(head) >= LEAST_COMPARED:
            break
    return head


def _same_answers(graph: Graph, judge: Judge) -> bool:
    """Tell whether an evened graph gives the float model's answers, bit for bit."""
    found = make_run(graph)(judge.held_back[0])
    return all(
        np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
        for a, b in zip(judge.wanted[0], found, strict=True)
    )


def _worse(before: Trial, after: Trial, held: int, bounds: Bounds) -> str:
    """Return why a graph is not clearly better than it was; an empty sentence if it is."""
    if not (np.isfinite(before.errors).all() and np.isfinite(after.errors).all()):
        return "the errors of the whole model are not finite"
    if after.verdict.share > max(before.verdict.share, ROOM):
        return "the whole model would use up more of what the bounds allow"
    fallen = float(after.errors[:held].sum() / max(before.errors[:held].sum(), 1e-30))
    if fallen > CLEARLY:
        return f"on examples held back the model's error would be {fallen:.3f} of what it is"
    # the squared error of a unit vector is twice what its cosine falls by
    least = max(2.0 * UNFELT * bounds.cosine, 1e-15)
    change = np.log(np.maximum(after.errors, least) / np.maximum(before.errors, least))
    mean = math.exp(float(change.mean()))
    if mean > ON_ALL:
        return f"in the mean of all examples the model's error would be {mean:.3f} of what it is"
    return ""
