"""What a caller asks of a conversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from pycompress.calibration import METHODS
from pycompress.convert import Bounds, Mode, PlanError
from pycompress.convert.rounding import MEMORY

if TYPE_CHECKING:
    from pycompress.calibration import RangeMethod
    from pycompress.convert import Metric

Tell: TypeAlias = Callable[[str], None]
"""Told each stage of a long work as it begins."""

Switch: TypeAlias = Literal["auto", "on", "off"]
"""Whether something is done: where it helps, always, or never."""


@dataclass(frozen=True)
class Wishes:
    """What the caller asks of a conversion.

    Attributes
    ----------
    mode : "auto", "static", "dynamic", "weights", "int4" or "bf16"
    exclude : sequence of str
    methods : sequence of str
        Ways of choosing ranges, of which the best is taken.
    bounds : Bounds
    metric : callable or None
    never_slower : bool
    best_effort : bool
    memory : int
        Bytes that calibration may keep.
    equalize, smooth : "auto", "on" or "off"
        Whether channels are evened out between layers, and behind normalisations.
    """

    mode: Mode = "auto"
    exclude: Sequence[str] = ()
    methods: Sequence[RangeMethod] = tuple(METHODS)
    bounds: Bounds = field(default_factory=Bounds)
    metric: Metric | None = None
    never_slower: bool = True
    best_effort: bool = False
    memory: int = MEMORY
    equalize: Switch = "auto"
    smooth: Switch = "auto"


EVENED_MODES = ("auto", "static", "dynamic")
"""Modes in which activations are in integers by ranges, and even channels help."""


def check_switches(wishes: Wishes, *, calibrated: bool) -> None:
    """Raise PlanError for switches that mean nothing, or that nothing can come of."""
    for name, given in (("equalize", wishes.equalize), ("smooth", wishes.smooth)):
        if given not in get_args(Switch):
            msg = f"{name}: found '{given}', wanted one of {', '.join(get_args(Switch))}"
            raise PlanError(msg)
        if given == "on" and not calibrated:
            msg = f"{name} 'on' needs calibration data: factors are measured on it"
            raise PlanError(msg)
        if given == "on" and wishes.mode not in EVENED_MODES:
            msg = f"{name} 'on' goes with mode {', '.join(EVENED_MODES)}, found '{wishes.mode}': "
            msg += "it evens out what activations in integers lose"
            raise PlanError(msg)
