"""What a compression did, as data."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.convert import Agreement, Bounds, Choice, Decisions, Evened, NodeError
    from pycompress.report.ledger import Ledger
    from pycompress.report.timing import Timing
    from pycompress.report.views import Alternative, RangeView


@dataclass(frozen=True)
class Calibrated:
    """The data that ranges were found on.

    Attributes
    ----------
    feeds : int
        Feeds that ranges come from.
    held_back : int
        Feeds that agreement was judged on.
    shared : bool
        There was only one feed, and it served both.
    """

    feeds: int
    held_back: int
    shared: bool


@dataclass(frozen=True)
class Report:
    """The outcome of `pycompress.compress`.

    Attributes
    ----------
    source, target : str
        Paths of the two files.
    mode : str
    calibrated : Calibrated or None
        None when there was no calibration data.
    choices : tuple of Choice
        The precision of every node in a preset format with constant weights, and why.
    refused : tuple of (node, reason)
        Nodes that fit no preset format.
    ledger : Ledger
        Bytes before and after, by node.
    agreement : Agreement or None
        With the float model on held-back feeds; None when there was no data to judge on.
    bounds : Bounds
        What the answers were held to.
    share : float or None
        Of what the bounds allow, how much is used up: kept up to 1.
    metric : tuple of two floats, or None
        The caller's measure of the float model and of the compressed one.
    moved : int
        Nodes that went to a safer precision to keep the bounds.
    timings : tuple of Timing
    timed_on : str
        What the timed inputs were.
    notes : tuple of str
        What the reader should know besides.
    errors : tuple of NodeError
        Signal to noise at each node of the plan, on some held-back feeds.
    ranges : tuple of RangeView
        Of the values in integers whose range comes from calibration.
    alternatives : tuple of Alternative
        Other ways of converting, with their size, time and agreement; the chosen one among them.
    made_up : Agreement or None
        With the float model on inputs that were made up, where none were given: it shows what is
        broken, and does not show that the rest is fit for real ones.
    decisions : Decisions or None
        What `compress` takes to carry them out again.
    evened : tuple of Evened
        The places where channels could be evened out, and what was done there.
    """

    source: str
    target: str
    mode: str
    calibrated: Calibrated | None
    choices: tuple[Choice, ...]
    refused: tuple[tuple[str, str], ...]
    ledger: Ledger
    agreement: Agreement | None
    bounds: Bounds
    share: float | None
    metric: tuple[float, float] | None
    moved: int
    timings: tuple[Timing, ...]
    timed_on: str
    notes: tuple[str, ...] = field(default_factory=tuple)
    errors: tuple[NodeError, ...] = ()
    ranges: tuple[RangeView, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    made_up: Agreement | None = None
    decisions: Decisions | None = None
    evened: tuple[Evened, ...] = ()

    @property
    def kind(self) -> str:
        """What the compressed file's weights are in: "int8", "int4" or "bf16"."""
        return kind_of(self.choices)

    @property
    def size_before(self) -> int:
        """Bytes of the original file."""
        return self.ledger.before

    @property
    def size_after(self) -> int:
        """Bytes of the compressed file."""
        return self.ledger.after

    @property
    def kept(self) -> bool | None:
        """Whether the bounds are kept; None when there was no data to judge on."""
        return None if self.share is None else self.share <= 1.0

    @property
    def ratio(self) -> float:
        """Bytes after over bytes before."""
        return self.size_after / self.size_before

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        result |= {
            "size_before": self.size_before,
            "size_after": self.size_after,
            "ratio": self.ratio,
        }
        if self.decisions is not None:
            result["decisions"] = self.decisions.to_dict()
        if self.agreement is not None:
            result["agreement"] |= {"drop": self.agreement.drop, "top1": self.agreement.top1}
            for row, output in zip(
                result["agreement"]["outputs"], self.agreement.outputs, strict=True
            ):
                row["top1_interval"] = output.interval
        return result

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_html(self) -> str:
        """Return the report as one HTML page, for which matplotlib has to be installed."""
        from pycompress.report.html import report_page

        return report_page(self)

    def __str__(self) -> str:
        """Return the report as tables of plain text."""
        from pycompress.report.text import render

        return render(self)


def kind_of(choices: Iterable[Choice]) -> str:
    """Return what a model is called that was converted so: the narrowest of its formats."""
    taken = {choice.precision for choice in choices} - {"float"}
    if "int4" in taken:
        return "int4"
    return "bf16" if taken == {"bf16"} else "int8"


def plain(value: object) -> Any:  # noqa: ANN401
    """Turn dataclasses, tuples and NumPy scalars into what JSON knows; NaN becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
