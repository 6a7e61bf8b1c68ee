"""Decisions written down, to be carried out again without measuring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pycompress.convert.evening import Evened
from pycompress.convert.plan import Choice, Mode, Plan, PlanError, Precision

if TYPE_CHECKING:
    from pycompress.calibration import Range

KIND = "pycompress decisions 2"


@dataclass(frozen=True)
class Decisions:
    """What was decided for one model.

    Attributes
    ----------
    model : str
        SHA-256 of the model's file.
    mode : "auto", "static", "dynamic", "weights", "int4" or "bf16"
    exclude : tuple of str
        What the caller asked for.
    calibrated : bool
        Whether there was calibration data.
    choices : tuple of Choice
    ranges : dict of (low, high) by value name
        Of the activations of static nodes.
    evened : tuple of Evened
        Where channels were evened out, and where not.
    """

    model: str
    mode: Mode
    exclude: tuple[str, ...]
    calibrated: bool
    choices: tuple[Choice, ...]
    ranges: Mapping[str, Range]
    evened: tuple[Evened, ...] = ()

    @property
    def separated(self) -> bool:
        """Whether residuals stand apart from convolutions, as static ones need it."""
        return self.calibrated and self.mode in {"auto", "static", "int4"}

    @property
    def plan(self) -> Plan:
        """The choices as a plan."""
        return Plan({choice.key: choice for choice in self.choices})

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions as what JSON can hold, every float exactly."""
        return {
            "kind": KIND,
            "model": self.model,
            "mode": self.mode,
            "exclude": list(self.exclude),
            "calibrated": self.calibrated,
            "choices": [vars(choice).copy() for choice in self.choices],
            "ranges": {name: list(bounds) for name, bounds in self.ranges.items()},
            "evened": [
                vars(place) | {"readers": list(place.readers), "exponents": list(place.exponents)}
                for place in self.evened
            ],
        }

    @classmethod
    def read(cls, path: str | Path) -> Decisions:
        """Read what `to_dict` gave: from a file of its own, or from a report in JSON.

        Raises
        ------
        PlanError
            The file holds no decisions, or damaged ones.
        OSError
            It can't be read.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            msg = f"decisions '{path}' are no JSON: {error}"
            raise PlanError(msg) from error
        if isinstance(data, dict) and "kind" not in data:
            data = data.get("decisions")
        if not isinstance(data, dict) or data.get("kind") != KIND:
            found = data.get("kind") if isinstance(data, dict) else type(data).__name__
            msg = f"decisions '{path}': found {found!r}, wanted '{KIND}' or a report with them"
            raise PlanError(msg)
        try:
            choices = tuple(Choice(**row) for row in data["choices"])
            ranges = {
                str(k): (float(low), float(high)) for k, (low, high) in data["ranges"].items()
            }
            found = cls(
                str(data["model"]),
                data["mode"],
                tuple(map(str, data["exclude"])),
                bool(data["calibrated"]),
                choices,
                ranges,
                tuple(_evened(row) for row in data["evened"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"decisions '{path}' are damaged: {type(error).__name__}: {error}"
            raise PlanError(msg) from error
        for choice in choices:
            if choice.precision not in get_args(Precision):
                msg = (
                    f"decisions '{path}': node '{choice.node}' has precision "
                    f"'{choice.precision}', wanted one of {', '.join(get_args(Precision))}"
                )
                raise PlanError(msg)
        return found

    def check(self, path: Path, plan: Plan) -> None:
        """Raise PlanError unless these are decisions for the model of a file.

        Parameters
        ----------
        path : Path
            Of the model.
        plan : Plan
            Any plan for it: its keys are the nodes that there are.
        """
        found = fingerprint(path)
        if found != self.model:
            msg = f"decisions: found some for another model than '{path}': SHA-256 {self.model}, "
            msg += f"wanted {found}"
            raise PlanError(msg)
        if set(plan.choices) != {choice.key for choice in self.choices}:
            differ = sorted(set(plan.choices) ^ {choice.key for choice in self.choices})
            msg = f"decisions: another version made them, '{differ[0]}' is not among the nodes"
            raise PlanError(msg)


def _evened(row: Mapping[str, Any]) -> Evened:
    readers, exponents = tuple(map(str, row["readers"])), tuple(map(int, row["exponents"]))
    return Evened(**{**row, "readers": readers, "exponents": exponents})


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
