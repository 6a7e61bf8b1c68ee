"""An executable as what JSON can hold, and the arrays that go beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.runtime.plan.container import ALIGNMENT
from pycompress.runtime.plan.kinds import NAMES
from pycompress.runtime.steps import Call, Executable, NativeStep

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from pycompress.runtime.steps import Step

    Reference = list[Any]  # offset among the data, dtype, shape


class Describer:
    """Describes executables.

    Attributes
    ----------
    arrays : list of (int, ndarray)
        Where each array goes among the data, in order.
    """

    def __init__(self) -> None:
        self.arrays: list[tuple[int, np.ndarray]] = []
        self._size = 0
        self._references: dict[tuple[int, str, tuple[int, ...]], Reference] = {}
        self._keys: dict[Hashable, int] = {}

    def executable(self, executable: Executable) -> dict[str, Any]:
        """Return the description of steps and of what they pass on."""
        constants = executable.constants.items()
        return {
            "inputs": self._numbers(executable.inputs),
            "outputs": self._numbers(executable.outputs),
            "constants": [[self._number(key), self._array(array)] for key, array in constants],
            "steps": [self._step(step) for step in executable.steps],
        }

    def _step(self, step: Step) -> dict[str, Any]:
        if isinstance(step, NativeStep):
            described = self._native(step)
        elif type(step) in NAMES:
            described = self._alone(step)
        else:
            msg = "a plan cannot hold nodes that have no native kernel; see session.fallbacks"
            raise ValueError(msg)
        passed = {"inputs": self._numbers(step.inputs), "outputs": self._numbers(step.outputs)}
        return described | passed

    def _alone(self, step: Any) -> dict[str, Any]:  # noqa: ANN401 - one of KINDS
        return {
            "kind": NAMES[type(step)],
            "bodies": [self.executable(body) for body in step.bodies],
            "fields": {key: getattr(step, key) for key in step.FIELDS},
        }

    def _native(self, step: NativeStep) -> dict[str, Any]:
        """Return the calls that build the program anew, without what it found it does not need."""
        built = step.calls()
        adds = [call for call in built if call.kind == "add"]
        packed = step.program.packed_weights(len(adds))
        weights = {id(c): w for c, w in zip(adds, packed, strict=True) if w is not None}
        read = {*step.returned, *(i for c in adds if id(c) in weights for i in c.arguments[2])}
        calls: list[list[Any]] = []
        ids = {-1: -1}
        for call in built:
            if call.kind == "add" and id(call) in weights:
                calls.append(self._add(call, ids, weights[id(call)]))
            elif call.kind == "constant" and call.ids[0] in read:
                calls.append(self._constant(step, call))
            elif call.kind == "input":
                calls.append(["input", *call.arguments])
            else:
                continue
            ids.update({old: len(ids) - 1 + i for i, old in enumerate(call.ids)})
        return {"calls": calls, "returned": [ids[i] for i in step.returned]}

    def _constant(self, step: NativeStep, call: Call) -> list[Any]:
        values = step.program.constant_values(call.ids[0])
        if values is None:  # packed by all that read it
            return ["hollow_constant", *call.arguments]
        return ["constant", self._array(values)]

    def _add(self, call: Call, ids: dict[int, int], weights: Any) -> list[Any]:  # noqa: ANN401
        op, name, inputs, outputs, attrs = call.arguments
        packed = [[layout, [self._array(b) for b in blocks]] for layout, blocks in weights]
        described = {key: self._attribute(value) for key, value in attrs.items()}
        return ["add", op, name, [ids[i] for i in inputs], outputs, described, packed]

    def _attribute(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, np.ndarray):
            return {"array": self._array(value)}
        if isinstance(value, np.generic):
            return value.item()
        return value.decode() if isinstance(value, bytes) else value

    def _array(self, array: np.ndarray) -> Reference:
        """Return the reference of an array; what lies in the same memory is written once."""
        key = array.__array_interface__["data"][0], array.dtype.str, array.shape
        if array.size == 0 or key not in self._references:
            offset = -(-self._size // ALIGNMENT) * ALIGNMENT
            self._references[key] = [offset, array.dtype.name, list(array.shape)]
            self.arrays.append((offset, array))
            self._size = offset + array.nbytes
        return self._references[key]

    def _number(self, key: Hashable) -> int:
        return self._keys.setdefault(key, len(self._keys))

    def _numbers(self, keys: Iterable[Hashable]) -> list[int]:
        return [self._number(key) for key in keys]
