"""Operators that find out how large their results are only from the values of their inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompress import _core
from pycompress.runtime.lone import LoneStep

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

OPERATORS = frozenset(_core.data_ops())
"""Names of the operators."""


class DataStep(LoneStep):
    """One of these operators, in native code.

    Raises
    ------
    ValueError
        When the operator does not take these attributes.
    """

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        bodies: Sequence[object] = (),
        **fields: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(inputs, outputs, bodies, **fields)
        self._node = _core.DataOp(self.op, self.name, len(self.given), len(outputs), self.attrs)

    def compute(self, taken: list[Any]) -> list[Any]:
        """Return the results, as large as the inputs' values say."""
        return self._node.run(taken)
