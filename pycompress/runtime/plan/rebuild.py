"""Executables out of their description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress import _core
from pycompress.runtime.steps import BranchStep, Call, Executable, NativeStep

if TYPE_CHECKING:
    from pycompress.runtime.steps import Step

_DTYPES = {
    name: np.dtype(name)
    for name in ("float32", "float64", "uint8", "int8", "int32", "int64", "bool")
}


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
        return Executable(
            described["inputs"],
            described["outputs"],
            {key: self._array(reference) for key, reference in described["constants"]},
            [self._step(step) for step in described["steps"]],
        )

    def _step(self, described: dict[str, Any]) -> Step:
        inputs, outputs = described["inputs"], described["outputs"]
        if "branches" in described:
            otherwise, then = map(self.executable, described["branches"])
            known, condition = described["known"], described["condition"]
            picked = condition if known is None else bool(known)
            return BranchStep(inputs, outputs, picked, (otherwise, then))
        program = _core.Program(self.threads)
        calls = [self._call(program, *row) for row in described["calls"]]
        program.finish(described["returned"])
        return NativeStep(inputs, outputs, program, calls, described["returned"])

    def _call(self, program: _core.Program, kind: str, *arguments: Any) -> Call:  # noqa: ANN401
        if kind == "input":
            return Call(kind, arguments, [program.input(*arguments)])
        if kind == "hollow_constant":
            return Call("constant", arguments, [program.hollow_constant(*arguments)])
        if kind == "constant":
            array = self._array(arguments[0])
            return Call(kind, (array.dtype.name, array.shape), [program.constant(array)])
        op, name, inputs, outputs, described, packed = arguments
        attrs = {key: self._attribute(value) for key, value in described.items()}
        weights = [(layout, [self._array(b) for b in blocks]) for layout, blocks in packed]
        ids = program.add(op, name, inputs, outputs, attrs, weights)
        return Call("add", (op, name, inputs, outputs, attrs), ids)

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
