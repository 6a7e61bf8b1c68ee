"""If, Loop and Scan as steps: executables of their own for the bodies, chosen or repeated here."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pycompress.runtime.steps import check_positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pycompress.runtime.row import Row
    from pycompress.runtime.steps import Executable

Empty = list[Any]
"""Element type and shape of a scan output that no iteration has added to."""

_TRUE = np.array(True)


class _Bodies:
    """What the steps around bodies share.

    Attributes
    ----------
    bodies : list of Executable
    """

    def __init__(
        self, inputs: Sequence[Hashable], outputs: Sequence[Hashable], bodies: Sequence[Executable]
    ) -> None:
        self.inputs, self.outputs, self.bodies = inputs, outputs, list(bodies)

    def profile(self) -> list[Row]:
        """Return the rows of all bodies."""
        return [row for body in self.bodies for row in body.profile()]

    def set_profiling(self, enabled: bool) -> None:
        """Start or stop timing the bodies."""
        for body in self.bodies:
            body.set_profiling(enabled)


class BranchStep(_Bodies):
    """An If: the condition is looked at, and one of two executables runs.

    Parameters
    ----------
    bodies : (Executable, Executable)
        For false and for true; both take all inputs.
    condition : int or bool
        Its position among the inputs, or the answer.
    """

    FIELDS: ClassVar = ("condition",)

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        bodies: Sequence[Executable],
        *,
        condition: int | bool,
    ) -> None:
        super().__init__(inputs, outputs, bodies)
        self.condition = condition
        _same(len(self.bodies), 2, "branches")
        for body in self.bodies:
            _same(len(body.inputs), len(inputs), "inputs of a branch")
            _same(len(body.outputs), len(outputs), "outputs of a branch")
        if not isinstance(condition, bool):
            check_positions([condition], len(inputs))

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of the branch that the condition picks."""
        known = self.condition
        taken = known if isinstance(known, bool) else _truth(arrays[known], "If: the condition")
        return self.bodies[taken].run(arrays)


class LoopStep(_Bodies):
    """A Loop: the body runs until it says no, or a count is reached.

    Parameters
    ----------
    name : str
    trips, condition : int or None
        Positions of the most iterations and of the first condition; None: without a bound, true.
    carried, captured : list of int
        Positions of what the iterations pass on, and of what the body reads from outside. The body
        takes number, condition, these; it gives condition, what is passed on, what is collected.
    empty : list of [str, list of int]
        Types and shapes of what is collected when there is no iteration.
    """

    FIELDS: ClassVar = ("name", "trips", "condition", "carried", "captured", "empty")

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        bodies: Sequence[Executable],
        *,
        name: str,
        trips: int | None,
        condition: int | None,
        carried: list[int],
        captured: list[int],
        empty: list[Empty],
    ) -> None:
        super().__init__(inputs, outputs, bodies)
        self.name, self.trips, self.condition = name, trips, condition
        self.carried, self.captured, self.empty = carried, captured, empty
        given = [p for p in (trips, condition) if p is not None]
        check_positions([*given, *carried, *captured], len(inputs))
        (body,) = self.bodies
        _same(len(body.inputs), 2 + len(carried) + len(captured), "inputs of a body")
        _same(len(body.outputs), 1 + len(carried) + len(empty), "outputs of a body")
        _same(len(outputs), len(carried) + len(empty), "outputs of a Loop")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what the last iteration passes on, and what all have added."""
        what = f"node '{self.name}' (Loop)"
        trips = None if self.trips is None else _count(arrays[self.trips], what)
        go = self.condition is None or _truth(arrays[self.condition], f"{what}: the condition")
        carried = [arrays[i] for i in self.carried]
        captured = [arrays[i] for i in self.captured]
        whole = self.bodies[0].program()
        if whole is not None and go and (trips is None or trips > 0):
            program, taken, given = whole
            most = -1 if trips is None else trips
            states, stacked = program.run_rounds(
                what, taken, given, True, most, carried, [], captured
            )
            return [*states, *stacked]
        collected: list[list[np.ndarray]] = [[] for _ in self.empty]
        done = 0
        while go and (trips is None or done < trips):
            number = np.array(done, np.int64)
            first, *found = self.bodies[0].run([number, _TRUE, *carried, *captured])
            go = _truth(first, f"{what}: the body's condition")
            carried = found[: len(carried)]
            for parts, part in zip(collected, found[len(carried) :], strict=True):
                parts.append(part)
            done += 1
        stacked = [_stacked(p, e, what) for p, e in zip(collected, self.empty, strict=True)]
        return [*_owned(carried, arrays), *stacked]


class ScanStep(_Bodies):
    """A Scan: the body runs once for each slice of its inputs.

    Parameters
    ----------
    name : str
    states, scanned, captured : list of int
        Positions of what the iterations pass on, of what is cut into slices, and of what the body
        reads from outside. The body takes these in this order.
    axes, out_axes : list of int
        Along which slices are cut, and stacked.
    backwards, out_backwards : list of int
        1 where the last slice comes first.
    empty : list of [str, list of int]
        As in a Loop.
    """

    FIELDS: ClassVar = (
        *("name", "states", "scanned", "captured", "axes", "backwards"),
        *("out_axes", "out_backwards", "empty"),
    )

    def __init__(
        self,
        inputs: Sequence[Hashable],
        outputs: Sequence[Hashable],
        bodies: Sequence[Executable],
        *,
        name: str,
        states: list[int],
        scanned: list[int],
        captured: list[int],
        axes: list[int],
        backwards: list[int],
        out_axes: list[int],
        out_backwards: list[int],
        empty: list[Empty],
    ) -> None:
        super().__init__(inputs, outputs, bodies)
        self.name, self.states, self.scanned, self.captured = name, states, scanned, captured
        self.axes, self.backwards = axes, backwards
        self.out_axes, self.out_backwards, self.empty = out_axes, out_backwards, empty
        check_positions([*states, *scanned, *captured], len(inputs))
        for found, what in ((axes, "scan_input_axes"), (backwards, "scan_input_directions")):
            _same(len(found), len(scanned), what)
        for found, what in (
            (out_axes, "scan_output_axes"),
            (out_backwards, "scan_output_directions"),
        ):
            _same(len(found), len(empty), what)
        (body,) = self.bodies
        _same(len(body.inputs), len(states) + len(scanned) + len(captured), "inputs of a body")
        _same(len(body.outputs), len(states) + len(empty), "outputs of a body")
        _same(len(outputs), len(states) + len(empty), "outputs of a Scan")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the last states, and what all slices have added."""
        what = f"node '{self.name}' (Scan)"
        states = [arrays[i] for i in self.states]
        captured = [arrays[i] for i in self.captured]
        slices = [
            _sliced(arrays[i], axis, backwards, what)
            for i, axis, backwards in zip(self.scanned, self.axes, self.backwards, strict=True)
        ]
        lengths = {len(s) for s in slices}
        if len(lengths) != 1:
            msg = f"{what}: its inputs have {', '.join(map(str, sorted(lengths)))} slices"
            raise ValueError(msg)
        rounds = lengths.pop()
        whole = self.bodies[0].program()
        if whole is not None and rounds > 0:
            program, taken, given = whole
            states, found = program.run_rounds(
                what, taken, given, False, rounds, states, slices, captured
            )
            return [*states, *map(_turned, found, self.out_axes, self.out_backwards, repeat(what))]
        collected: list[list[np.ndarray]] = [[] for _ in self.empty]
        for i in range(rounds):
            found = self.bodies[0].run([*states, *(s[i, ...] for s in slices), *captured])
            states = found[: len(states)]
            for parts, part in zip(collected, found[len(states) :], strict=True):
                parts.append(part)
        stacked = [
            _stacked(parts[::-1] if backwards else parts, empty, what, axis)
            for parts, empty, axis, backwards in zip(
                collected, self.empty, self.out_axes, self.out_backwards, strict=True
            )
        ]
        return [*_owned(states, arrays), *stacked]


def _truth(array: np.ndarray, what: str) -> bool:
    if array.size != 1:
        msg = f"{what} must be one value, found shape {list(array.shape)}"
        raise ValueError(msg)
    return bool(array.item())


def _count(array: np.ndarray, what: str) -> int:
    if array.size != 1:
        msg = f"{what}: the count must be one value, found shape {list(array.shape)}"
        raise ValueError(msg)
    return int(array.reshape(()))


def _sliced(array: np.ndarray, axis: int, backwards: int, what: str) -> np.ndarray:
    """Return the array with its slices along the first axis, in the order of the iterations."""
    if not -array.ndim <= axis < array.ndim:
        msg = f"{what}: axis {axis} of an input of shape {list(array.shape)}"
        raise ValueError(msg)
    moved = np.moveaxis(array, axis, 0)
    return np.ascontiguousarray(moved[::-1] if backwards else moved)


def _turned(stacked: np.ndarray, axis: int, backwards: int, what: str) -> np.ndarray:
    """Return slices, stacked along the first axis, along another; backwards: the last one first."""
    _check_axis(axis, stacked.ndim, what)
    return np.ascontiguousarray(np.moveaxis(stacked[::-1] if backwards else stacked, 0, axis))


def _check_axis(axis: int, rank: int, what: str) -> None:
    if not -rank <= axis < rank:
        msg = f"{what}: axis {axis} of an output of {rank} dimensions"
        raise ValueError(msg)


def _stacked(parts: list[np.ndarray], empty: Empty, what: str, axis: int = 0) -> np.ndarray:
    if parts:
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            found = ", ".join(str(list(shape)) for shape in sorted(shapes))
            msg = f"{what}: what it collects has shapes {found}"
            raise ValueError(msg)
        rank = parts[0].ndim + 1
    else:
        rank = len(empty[1]) + 1
    _check_axis(axis, rank, what)
    if parts:
        return np.ascontiguousarray(np.stack(parts, axis))
    shape = list(empty[1])
    shape.insert(axis % rank, 0)
    return np.zeros(shape, empty[0])


def _owned(results: list[np.ndarray], given: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the results; one that is an input, as no iteration has changed it, as a copy."""
    mine = {id(array) for array in given}
    return [r.copy() if id(r) in mine else r for r in results]


def _same(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        msg = f"{what}: found {found}, wanted {wanted}"
        raise ValueError(msg)
