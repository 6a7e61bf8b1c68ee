"""What a session runs: native programs, and the steps between them.

Values are known by keys here: those of the graph while a session is built from one, numbers when it
comes out of a plan file.

The classes are plain ones: making a dataclass, a NamedTuple or a Protocol takes longer than opening
a small plan, which is the first thing that a process does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from typing import Protocol

    from pycompress import _core
    from pycompress.runtime.row import Row

    class Step(Protocol):
        """Something that computes values from values."""

        @property
        def inputs(self) -> Sequence[Hashable]:
            """What it reads."""

        @property
        def outputs(self) -> Sequence[Hashable]:
            """What it computes."""

        def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
            """Return the outputs for these inputs."""

        def profile(self) -> list[Row]:
            """Return a row for every node, those included that never ran, always in one order."""

        def set_profiling(self, enabled: bool) -> None:
            """Start or stop timing."""


class Executable:
    """Steps in the order in which they run.

    Attributes
    ----------
    inputs, outputs : list
        Keys, in the order of the graph's.
    constants : dict of ndarray
        Outputs that do not depend on the inputs, and what steps read of constants.
    """

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        constants: dict[Hashable, np.ndarray],
        steps: list[Step],
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.constants, self.steps = constants, steps
        self._only = self._only_step()

    def _only_step(self) -> tuple[Step, list[int], list[int]] | None:
        """Return the one step, when all is its work, and the positions of what it takes and gives.

        A loop runs its body often, and most bodies are one program.
        """
        if len(self.steps) != 1 or self.constants:
            return None
        (step,) = self.steps
        if not (set(self.outputs) <= set(step.outputs) and set(step.inputs) <= set(self.inputs)):
            return None
        inputs, made = list(self.inputs), list(step.outputs)
        return step, [inputs.index(v) for v in step.inputs], [made.index(v) for v in self.outputs]

    def program(self) -> tuple[_core.Program, list[int], list[int]] | None:
        """Return the program that is all of this, and the positions of what it takes and gives."""
        if self._only is None:
            return None
        step, taken, given = self._only
        return (step.program, taken, given) if isinstance(step, NativeStep) else None

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs, which have been checked."""
        if self._only is not None:
            step, taken, given = self._only
            results = step.run([arrays[i] for i in taken])
            return [results[i] for i in given]
        values: dict[Hashable, np.ndarray] = dict(zip(self.inputs, arrays, strict=True))
        values |= self.constants
        for step in self.steps:
            results = step.run([values[v] for v in step.inputs])
            values.update(zip(step.outputs, results, strict=True))
        return [values[v] for v in self.outputs]

    def profile(self) -> list[Row]:
        """Return a row for every node, those included that never ran, always in one order."""
        return [row for step in self.steps for row in step.profile()]

    def set_profiling(self, enabled: bool) -> None:
        """Start or stop timing."""
        for step in self.steps:
            step.set_profiling(enabled)


def check_positions(positions: Iterable[int | None], count: int) -> None:
    """Raise ValueError unless these are positions among `count` inputs; None stands for none."""
    for position in positions:
        if position is not None and not 0 <= position < count:
            msg = f"{position} is no position among {count} inputs"
            raise ValueError(msg)


class Call:
    """One call that built a program.

    Attributes
    ----------
    kind : str
        The method's name: ``input``, ``constant`` or ``add``.
    arguments : tuple
        Without arrays of constants: the program has them, or what it packed of them.
    ids : list of int
        The values that it made.
    """

    __slots__ = ("arguments", "ids", "kind")

    def __init__(self, kind: str, arguments: tuple[Any, ...], ids: list[int]) -> None:
        self.kind, self.arguments, self.ids = kind, arguments, ids


class NativeStep:
    """A native program.

    Parameters
    ----------
    inputs, outputs : sequence
        Keys.
    program : _core.Program
        Finished.
    calls : callable
        Returns what built it, a list of Call; a plan that is saved holds them.
    returned : list of int
        What it was finished with.
    """

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        program: _core.Program,
        calls: Callable[[], list[Call]],
        returned: list[int],
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.program, self.calls, self.returned = program, calls, returned
        self.run = program.run
        self.set_profiling = program.set_profiling

    def profile(self) -> list[Row]:
        """Return the rows of the program's nodes."""
        from pycompress.runtime.row import Row

        return [Row(*row) for row in self.program.profile()]
