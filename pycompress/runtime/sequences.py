"""Operators that pass tensors on whole: sequences are lists here, and optionals may be None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.runtime.lone import LoneStep

if TYPE_CHECKING:
    from collections.abc import Callable

    Attrs = dict[str, Any]


def _position(given: np.ndarray | None, count: int, *, inserts: bool = False) -> int:
    """Return a position that may count from the end; without one, the last."""
    most = count if inserts else count - 1
    if given is None:
        return most
    position = int(np.asarray(given).reshape(()))
    if not -count <= position <= most:
        msg = f"position {position} of a sequence of {count}"
        raise ValueError(msg)
    return position + count if position < 0 else position


def _insert(
    _: Attrs, sequence: list[Any], x: np.ndarray, at: np.ndarray | None = None
) -> list[Any]:
    position = _position(at, len(sequence), inserts=True)
    return [*sequence[:position], x, *sequence[position:]]


def _erase(_: Attrs, sequence: list[Any], at: np.ndarray | None = None) -> list[Any]:
    position = _position(at, len(sequence))
    if not sequence:
        msg = "nothing to erase in an empty sequence"
        raise ValueError(msg)
    return [*sequence[:position], *sequence[position + 1 :]]


def _concat(attrs: Attrs, sequence: list[np.ndarray]) -> np.ndarray:
    join = np.stack if attrs.get("new_axis") else np.concatenate
    return np.ascontiguousarray(join(sequence, int(attrs["axis"])))


def _split(attrs: Attrs, x: np.ndarray, split: np.ndarray | None = None) -> list[np.ndarray]:
    axis = int(attrs.get("axis", 0))
    if not -x.ndim <= axis < x.ndim:
        msg = f"axis {axis} of an input of shape {list(x.shape)}"
        raise ValueError(msg)
    length = x.shape[axis]
    if split is None or split.ndim == 0:
        size = 1 if split is None else int(split)
        if size < 1:
            msg = f"pieces of {size}"
            raise ValueError(msg)
        ends = list(range(size, length, size))
    else:
        if (split < 0).any() or split.sum() != length:
            msg = f"pieces of {split.tolist()} do not make up an axis of {length}"
            raise ValueError(msg)
        ends = list(np.cumsum(split)[:-1])
    parts = np.split(x, ends, axis) if length or split is not None else []
    if split is None and not attrs.get("keepdims", 1):
        parts = [part.squeeze(axis) for part in parts]
    return [np.ascontiguousarray(part).reshape(part.shape) for part in parts]


def _element(_: Attrs, value: Any) -> Any:  # noqa: ANN401
    if value is None:
        msg = "the optional has no element"
        raise ValueError(msg)
    return value


OPERATORS: dict[str, Callable[..., Any]] = {
    "ConcatFromSequence": _concat,
    "Identity": lambda _, x: x,
    "Optional": lambda _, x=None: x,
    "OptionalGetElement": _element,
    "OptionalHasElement": lambda _, x=None: np.array(x is not None),
    "SequenceAt": lambda _, sequence, at: sequence[_position(at, len(sequence))],
    "SequenceConstruct": lambda _, *tensors: list(tensors),
    "SequenceEmpty": lambda _: [],
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": lambda _, sequence: np.array(len(sequence), np.int64),
    "SplitToSequence": _split,
}
"""What each operator makes of its attributes and inputs; none changes what it is given."""


class SequenceStep(LoneStep):
    """One of these operators."""

    def compute(self, taken: list[Any]) -> list[Any]:
        """Return the operator's result.

        Raises
        ------
        ValueError
            When its inputs do not fit; names the node.
        """
        try:
            return [OPERATORS[self.op](self.attrs, *taken)]
        except (ValueError, TypeError, IndexError) as error:
            msg = f"node '{self.name}' ({self.op}): {error}"
            raise ValueError(msg) from error
