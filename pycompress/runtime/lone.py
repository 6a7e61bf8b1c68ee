"""An operator that runs by itself, between programs."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from pycompress.runtime.row import Row
from pycompress.runtime.steps import check_positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class LoneStep:
    """One such operator; `compute` is what it does.

    Parameters
    ----------
    given : list of int or None
        Positions among the inputs of what the operator takes; None where it takes nothing.
    attrs : dict
    """

    FIELDS: ClassVar = ("op", "name", "given", "attrs")

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        bodies: Sequence[object] = (),
        *,
        op: str,
        name: str,
        given: list[int | None],
        attrs: dict[str, Any],
    ) -> None:
        self.inputs, self.outputs, self.bodies = inputs, outputs, bodies
        self.op, self.name, self.given, self.attrs = op, name, given, attrs
        check_positions(given, len(inputs))
        self._row = Row(name, op)

    def compute(self, taken: list[Any]) -> list[Any]:
        """Return the results of what the operator takes."""
        raise NotImplementedError

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the operator's results."""
        start = perf_counter()
        results = self.compute([None if i is None else arrays[i] for i in self.given])
        shape = getattr(results[0], "shape", ())
        self._row = self._row.after(start, perf_counter() - start, shape)
        return results

    def profile(self) -> list[Row]:
        """Return the one row."""
        return [self._row]

    def set_profiling(self, enabled: bool) -> None:
        """Do nothing: beside such an operator the clock is free, and always runs."""
