"""Executables out of their description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress import _core
from pycompress.runtime.elements import ENGINE
from pycompress.runtime.steps import Call, Executable, NativeStep

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from pycompress.runtime.steps import Step

_DTYPES = {dtype.name: dtype for dtype in ENGINE}


class Rebuilder:
    """Builds executables.

    Parameters
    ----------
    data : ndarray of uint8
        What the references of a description point into; programs go on reading it.
    threads : int
    """

    def __init__(self, data: np.ndarray, threads: int) -> None:
        self.data, self.threads = data, threads

    def executable(self, described: dict[str, Any]) -> Executable:
        """Return the steps of a description.

        Raises
        ------
        ValueError, KeyError, IndexError, TypeError, AttributeError
            When the description is not one that `Describer` makes.
        """
        executable = Executable(
            described["inputs"],
            described["outputs"],
            {key: self._array(reference) for key, reference in described["constants"]},
            [self._step(step) for step in described["steps"]],
        )
        _check_flow(executable)
        return executable

    def _step(self, described: dict[str, Any]) -> Step:
        inputs, outputs = described["inputs"], described["outputs"]
        if "kind" in described:
            from pycompress.runtime.plan.kinds import KINDS  # most plans have none of them

            bodies = [self.executable(body) for body in described["bodies"]]
            step: Step = KINDS[described["kind"]](inputs, outputs, bodies, **described["fields"])
            return step
        program = _core.Program(self.threads)
        rows, returned = described["calls"], described["returned"]
        made = program.replay(rows, self.data)
        program.finish(returned)
        _same(len(inputs), sum(row[0] == "input" for row in rows), "inputs of a program")
        _same(len(outputs), len(returned), "outputs of a program")

        def calls() -> list[Call]:
            return [self._call(row, ids) for row, ids in zip(rows, made, strict=True)]

        return NativeStep(inputs, outputs, program, calls, returned)

    def _call(self, row: list[Any], ids: list[int]) -> Call:
        """Return what made these values, as a session has it that was built from a model."""
        kind, *arguments = row
        if kind == "constant":
            _, name, shape = arguments[0]
            arguments = [name, tuple(shape)]
        elif kind == "add":
            *others, described, _ = arguments
            arguments = [*others, {k: self._attribute(v) for k, v in described.items()}]
        elif kind == "hollow_constant":
            kind = "constant"
        return Call(kind, tuple(arguments), ids)

    def _attribute(self, value: Any) -> Any:  # noqa: ANN401
        return self._array(value["array"]) if isinstance(value, dict) else value

    def _array(self, reference: list[Any]) -> np.ndarray:
        offset, name, shape = reference
        dtype = _DTYPES[name]
        size = dtype.itemsize
        for dim in shape:
            size *= dim
        if offset < 0 or any(dim < 0 for dim in shape) or offset + size > self.data.size:
            msg = f"an array of shape {shape} at {offset} does not lie in the file"
            raise ValueError(msg)
        return self.data[offset : offset + size].view(dtype).reshape(shape)


def _check_flow(executable: Executable) -> None:
    """See to it that every step finds what it reads."""
    known = {*executable.inputs, *executable.constants}
    for step in executable.steps:
        _known(step.inputs, known)
        known.update(step.outputs)
    _known(executable.outputs, known)


def _known(keys: Iterable[Hashable], known: set[Hashable]) -> None:
    for key in keys:
        if not isinstance(key, int) or key not in known:
            msg = f"value {key} is read before it is there"
            raise ValueError(msg)


def _same(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        msg = f"{what}: found {found}, wanted {wanted}"
        raise ValueError(msg)
