"""What a node costs in each precision, in time on this machine and in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.blocks import BITS
from pycompress.convert.plan import Choice, Plan, Precision, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.graph.ir import Graph

SLOWER = 1.1
"""A node that takes this many times as long as in float is slower: less is noise."""

NOTICEABLE = 0.01
"""Share of the bytes of all constants below which a node does not shrink the file noticeably."""

LEAST_PRICE = 1e-3


@dataclass(frozen=True)
class Costs:
    """Time and bytes of each node of a plan.

    Attributes
    ----------
    ms : dict of float by (key, precision)
        Of one run on one thread, where it was measured.
    bytes : dict of int by (key, precision)
        Of the weights.
    whole_ms : float
        Of one run of the float model.
    whole_bytes : int
        Of all constants of the float model.
    """

    ms: Mapping[tuple[str, Precision], float]
    bytes: Mapping[tuple[str, Precision], int]
    whole_ms: float
    whole_bytes: int

    def price(self, before: Choice, after: Choice) -> float:
        """Return what a move costs: the share of the time plus the share of the bytes it adds."""
        times = [self.ms.get((c.key, c.precision)) for c in (before, after)]
        sizes = [self.bytes.get((c.key, c.precision), 0) for c in (before, after)]
        slower = 0.0
        if times[0] is not None and times[1] is not None:
            slower = max(0.0, times[1] - times[0]) / max(self.whole_ms, 1e-6)
        larger = max(0, sizes[1] - sizes[0]) / max(self.whole_bytes, 1)
        return slower + larger + LEAST_PRICE

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
    for node in graph.nodes:
        if plan.precision(node) is None:
            continue
        weights = weights_of(node)
        key = node.output.name
        found[key, "float"] = sum(weight.nbytes for weight in weights)
        for precision in integers:
            found[key, precision] = sum(int(np.prod(weight.shape)) for weight in weights)
        found[key, "int4"] = int(sum(np.prod(weight.shape) for weight in weights) * BITS / 8)
    return found
