"""Permutations of axes, and what they do to shapes, constants and axis numbers.

``y = Transpose(x, perm)``: axis i of `y` is axis ``perm[i]`` of `x`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pycompress.graph.ir import Quantized, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompress.graph.ir import Shape

Perm: TypeAlias = tuple[int, ...]


@lru_cache(maxsize=1024)
def is_identity(perm: Perm) -> bool:
    """Tell whether `perm` leaves every axis where it is."""
    return perm == tuple(range(len(perm)))


@lru_cache(maxsize=1024)
def channels_last(rank: int) -> Perm:
    """Return the permutation from (N, spatial..., C) to (N, C, spatial...)."""
    return (0, rank - 1, *range(1, rank - 1))


@lru_cache(maxsize=1024)
def inverse(perm: Perm) -> Perm:
    """Return the permutation that undoes `perm`."""
    return tuple(perm.index(i) for i in range(len(perm)))


@lru_cache(maxsize=1024)
def suffix(perm: Perm) -> str:
    """Return what a value's name gets behind it when its axes are moved."""
    return f"_{''.join(map(str, perm))}"


@lru_cache(maxsize=1024)
def compose(first: Perm, then: Perm) -> Perm:
    """Return the permutation of ``Transpose(Transpose(x, first), then)``."""
    return tuple(first[i] for i in then)


def without(perm: Perm, axes: Iterable[int]) -> Perm:
    """Return what is left of `perm` when these axes of the result, and their sources, are gone."""
    gone = set(axes)
    left = [p for i, p in enumerate(perm) if i not in gone]
    order = sorted(left)
    return tuple(order.index(p) for p in left)


def axes_through(axes: Iterable[int] | None, perm: Perm) -> list[int]:
    """Return axis numbers of ``Transpose(x, perm)`` as those of `x`; None: all, in order."""
    if axes is None:
        return list(perm)
    return [perm[int(axis) % len(perm)] for axis in axes]


def shape(dims: Shape | None, perm: Perm) -> Shape | None:
    """Return the shape of ``Transpose(x, perm)`` from that of `x`."""
    return None if dims is None or len(dims) != len(perm) else tuple([dims[p] for p in perm])


def constant(value: Value, perm: Perm) -> Value:
    """Return a constant, transposed."""
    const = value.const
    if isinstance(const, Quantized):
        axis = None if const.axis is None else perm.index(const.axis)
        moved = np.ascontiguousarray(const.data.transpose(perm))
        return Value(
            value.name,
            value.dtype,
            moved.shape,
            Quantized(moved, const.scale, const.zero_point, axis),
        )
    array = np.ascontiguousarray(value.array().transpose(perm))
    return Value(value.name, value.dtype, array.shape, array)


def widened(value: Value, rank: int) -> Value:
    """Return a constant with axes of length 1 in front, `rank` axes in all."""
    array = value.array()
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return Value(value.name, array.dtype, array.shape, array)


def integers(numbers: Iterable[int], name: str) -> Value:
    """Return an int64 constant."""
    array = np.array(list(numbers), np.int64)
    return Value(name, array.dtype, array.shape, array)


def numbers(value: Value | None) -> list[int] | None:
    """Return the integers of a constant; None when it is none."""
    if value is None or not isinstance(value.const, np.ndarray):
        return None
    return [int(number) for number in value.const.reshape(-1)]
