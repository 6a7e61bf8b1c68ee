"""What a graph is made of, so that passes which have nothing to do in it are not gone through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pycompress.graph.ir import SURVEYOR
from pycompress.graph.shapes import MADE_UP

if TYPE_CHECKING:
    import numpy as np

    from pycompress.graph.ir import Node


class Survey(NamedTuple):
    """Of some nodes, but not of the bodies in them.

    Attributes
    ----------
    ops : set of str
        Their operators, of whatever domain.
    dtypes : list
        Element types, each once, of what they make and of the constants that they read; None among
        them where one is not known.
    typed : bool
        Every result has a type, and every constant that of its array.
    sized : bool
        Every size of a result is a number, or a name that the model gave it.
    integers : bool
        A constant is `Quantized`.
    foreign : bool
        A constant is of a type that NumPy itself lacks.
    nested : bool
        A node has bodies.
    """

    ops: set[str]
    dtypes: list[np.dtype[Any] | None]
    typed: bool
    sized: bool
    integers: bool
    foreign: bool
    nested: bool


def survey(nodes: list[Node]) -> Survey:
    """Return what is to be found among nodes."""
    return Survey(*SURVEYOR.look(nodes, MADE_UP))
