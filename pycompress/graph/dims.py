"""Arithmetic on dimensions: whole numbers, names, and expressions in names.

An expression is a string in one normal form, so that two values whose sizes are computed in the
same way from the same input are seen to have the same shape. None stands for a size that nothing is
known about.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.graph.ir import Dim, Shape

_OFFSET = re.compile(r"(.+?)([+-]\d+)")


@lru_cache(maxsize=1024)
def plus(dim: Dim, number: int) -> Dim:
    """Return ``dim + number``."""
    if dim is None or number == 0:
        return dim
    if isinstance(dim, int):
        return dim + number
    split = _OFFSET.fullmatch(dim)
    if split and split[1].count("(") == split[1].count(")"):
        return plus(split[1], int(split[2]) + number)
    return f"{dim}{number:+d}"


def times(dim: Dim, number: int) -> Dim:
    """Return ``dim * number``."""
    if dim is None or number == 1:
        return dim
    return dim * number if isinstance(dim, int) else f"({dim})*{number}"


def floor_divided(dim: Dim, number: int) -> Dim:
    """Return ``floor(dim / number)``."""
    if dim is None or number == 1:
        return dim
    return dim // number if isinstance(dim, int) else f"({dim})//{number}"


def ceil_divided(dim: Dim, number: int) -> Dim:
    """Return ``ceil(dim / number)``."""
    return dim if number == 1 else plus(floor_divided(plus(dim, -1), number), 1)


def product(dims: Sequence[Dim]) -> Dim:
    """Return the product of some dimensions."""
    return quotient(dims, ())


def quotient(above: Sequence[Dim], below: Sequence[Dim]) -> Dim:
    """Return the product of `above` over that of `below`; None where it is not whole."""
    names = [d for d in above if isinstance(d, str)]
    for dim in below:
        if isinstance(dim, str):
            if dim not in names:
                return None
            names.remove(dim)
    if None in above or None in below:
        return None
    top = math.prod(d for d in above if isinstance(d, int))
    bottom = math.prod(d for d in below if isinstance(d, int))
    if bottom == 0 or top % bottom:
        return None
    if not names:
        return top // bottom
    joined = names[0] if len(names) == 1 else "*".join(f"({n})" for n in sorted(names))
    return times(joined, top // bottom)


def broadcast(*shapes: Shape | None) -> Shape | None:
    """Return the shape that tensors of these shapes are broadcast to (NumPy's rule)."""
    if None in shapes or not shapes:
        return None
    first, *others = (tuple(s) for s in shapes if s is not None)
    return reduce(_broadcast, others, first)


def _broadcast(a: Shape, b: Shape) -> Shape:
    if a == b or not b:
        return a
    if len(a) < len(b):
        a, b = b, a
    apart = len(a) - len(b)
    return (*a[:apart], *map(_joined, a[apart:], b))


def _joined(a: Dim, b: Dim) -> Dim:
    if b in {a, 1}:
        return a
    # a name beside a number above one can only be that number, or one
    if a == 1 or (isinstance(b, int) and not isinstance(a, int)):
        return b
    return a if isinstance(a, int) else None
