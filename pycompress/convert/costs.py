"""What a node costs in each precision: work by its size, time on this machine, and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.blocks import BITS
from pycompress.convert.plan import Choice, Plan, Precision, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.convert.work import Work
    from pycompress.graph.ir import Graph

SLOWER = 1.5
"""A node that takes this many times as long as in float is slower: less may be noise, and the same
model and data shall give the same file."""

NOTICEABLE = 0.01
"""Share of the bytes of all constants below which a node does not shrink the file noticeably."""

LEAST_PRICE = 1e-3


@dataclass(frozen=True)
class Costs:
    """Work, time and bytes of each node of a plan.

    Attributes
    ----------
    work : dict of float by (key, precision)
        By `work_of`: what is decided by it is decided alike in every run.
    ms : dict of float by (key, precision)
        Of one run on one thread, where it was measured.
    bytes : dict of int by (key, precision)
        Of the weights.
    whole_bytes : int
        Of all constants of the float model.
    """

    work: Work
    ms: Mapping[tuple[str, Precision], float]
    bytes: Mapping[tuple[str, Precision], int]
    whole_bytes: int

    def price(self, before: Choice, after: Choice) -> float:
        """Return what a move costs: the share of the work plus the share of the bytes it adds."""
        works = [self.work.get((c.key, c.precision), 0.0) for c in (before, after)]
        sizes = [self.bytes.get((c.key, c.precision), 0) for c in (before, after)]
        slower = max(0.0, works[1] - works[0]) / max(self._whole_work, 1.0)
        larger = max(0, sizes[1] - sizes[0]) / max(self.whole_bytes, 1)
        return slower + larger + LEAST_PRICE

    @property
    def _whole_work(self) -> float:
        return sum(ns for (_, precision), ns in self.work.items() if precision == "float")

    def share_of(self, plan: Plan) -> float:
        """Return what a plan costs: its share of the work in float plus that of the bytes."""
        size = sum(self.bytes.get((c.key, c.precision), 0) for c in plan)
        return self.work_of(plan) / max(self._whole_work, 1.0) + size / max(self.whole_bytes, 1)

    def work_of(self, plan: Plan) -> float:
        """Return the work of all planned nodes, in nominal ns."""
        return sum(self.work.get((c.key, c.precision), 0.0) for c in plan)

    def not_worth_it(self, plan: Plan) -> list[Choice]:
        """Return float choices for nodes that integers neither speed up nor shrink noticeably."""
        found = []
        for choice in plan:
            mine = self.ms.get((choice.key, choice.precision))
            plain = self.ms.get((choice.key, "float"))
            if choice.precision == "float" or mine is None or plain is None:
                continue
            saved = self.bytes[choice.key, "float"] - self.bytes[choice.key, choice.precision]
            if mine <= SLOWER * plain or saved >= NOTICEABLE * self.whole_bytes:
                continue
            reason = (
                f"'{choice.precision}' takes {mine:.3g} ms and float {plain:.3g}, and would save "
                f"only {saved:,} bytes"
            )
            found.append(Choice(choice.key, choice.node, choice.format, "float", reason))
        return found


def weight_bytes(graph: Graph, plan: Plan) -> dict[tuple[str, Precision], int]:
    """Return the bytes of each planned node's weights in each precision."""
    found: dict[tuple[str, Precision], int] = {}
    integers: Iterable[Precision] = ("static", "dynamic", "rows", "weights")
    for node in graph.everywhere():
        if plan.precision(node) is None:
            continue
        weights = weights_of(node)
        key = node.output.name
        found[key, "float"] = sum(weight.nbytes for weight in weights)
        for precision in integers:
            found[key, precision] = sum(int(np.prod(weight.shape)) for weight in weights)
        found[key, "bf16"] = sum(2 * int(np.prod(weight.shape)) for weight in weights)
        found[key, "int4"] = int(sum(np.prod(weight.shape) for weight in weights) * BITS / 8)
    return found
