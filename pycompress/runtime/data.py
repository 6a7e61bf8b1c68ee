"""Operators that find out how large their results are only from the values of their inputs."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from pycompress import _core
from pycompress.runtime.row import Row
from pycompress.runtime.steps import check_positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy as np

OPERATORS = frozenset(_core.data_ops())
"""Names of the operators."""


class DataStep:
    """One such operator: it runs by itself, between programs.

    Parameters
    ----------
    given : list of int or None
        Positions among the inputs of what the operator takes; None where it takes nothing.
    attrs : dict

    Raises
    ------
    ValueError
        When the operator does not take these attributes.
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
        self._node = _core.DataOp(op, name, len(given), len(outputs), attrs)
        self._row = Row(name, op)

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the operator's results."""
        start = perf_counter()
        taken = [None if i is None else arrays[i] for i in self.given]
        results: list[np.ndarray] = self._node.run(taken)
        self._row = self._row.after(start, perf_counter() - start, results[0].shape)
        return results

    def profile(self) -> list[Row]:
        """Return the one row."""
        return [self._row]

    def set_profiling(self, enabled: bool) -> None:
        """Do nothing: beside such an operator the clock is free, and always runs."""
