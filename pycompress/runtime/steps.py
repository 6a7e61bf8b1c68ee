"""What a session runs: native programs, and the steps between them.

Values are known by keys here: those of the graph while a session is built from one, numbers when it
comes out of a plan file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from pycompress import _core


class Row(NamedTuple):
    """What one node took while it was timed: in all, and in its last call.

    Attributes
    ----------
    calls : int
    seconds : float
        Of all calls.
    start, last : float
        When the last call began (`time.perf_counter`), and its seconds.
    shape : tuple of int
        Of the first output of the last call.
    engine : str
        What ran it.
    """

    name: str
    op: str
    calls: int = 0
    seconds: float = 0.0
    start: float = 0.0
    last: float = 0.0
    shape: tuple[int, ...] = ()
    engine: str = "native"

    def after(self, start: float, seconds: float, shape: tuple[int, ...]) -> Row:
        """Return the row with one call more."""
        done = self.calls + 1, self.seconds + seconds
        return Row(self.name, self.op, *done, start, seconds, shape, self.engine)


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


@dataclass
class Executable:
    """Steps in the order in which they run.

    Attributes
    ----------
    inputs, outputs : list
        Keys, in the order of the graph's.
    constants : dict of ndarray
        Outputs that do not depend on the inputs.
    """

    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]
    constants: dict[Hashable, np.ndarray] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs, which have been checked."""
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


@dataclass
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

    kind: str
    arguments: tuple[Any, ...]
    ids: list[int]


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
        return [Row(*row) for row in self.program.profile()]
