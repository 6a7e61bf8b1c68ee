"""Einsum of two operands as a product of matrices, where it is one.

    bhqd,bhkd->bhqk  =>  Transpose, MatMul
    bhwc,hkc->bhwk   =>  Transpose, MatMul of many matrices with one for each h

Done in the session alone; elsewhere, and for other equations, Einsum has kernels of its own.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.apply import apply_rules
from pycompress.graph.edit import edit_everywhere
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.writer import Writer

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Graph, Value


def write_products(graph: Graph) -> Graph:
    """Return `graph`, changed: what Einsum asks for is a MatMul where that can be."""
    edit_everywhere(graph, lambda edit: apply_rules(edit, RULES))
    return graph


@dataclass
class _Product:
    """The axes of a product, a letter each.

    Attributes
    ----------
    a, b, out : str
        As the equation names them.
    more_left, more_right : str
        Axes of one operand alone that take part as if the other repeated along them.
    batch, left, right, summed : str
        left and right have one letter or none.
    """

    a: str
    b: str
    out: str
    more_left: str
    more_right: str
    batch: str
    left: str
    right: str
    summed: str


def _product(match: Match) -> _Product | str:
    """Return the product that an equation asks for, or why it is none."""
    equation = str(match.root.attrs["equation"]).replace(" ", "")
    operands, arrow, out = equation.partition("->")
    a, _, b = operands.partition(",")
    reason = f"its equation '{equation}' is not a product of matrices"
    if not arrow:
        return reason
    if "." in equation:
        dotted = [(term, match[name].shape) for term, name in ((a, "a"), (b, "b")) if "." in term]
        hidden = {_hidden(term, shape) for term, shape in dotted} or {None}
        free = "".join(c for c in string.ascii_letters if c not in equation)
        count = hidden.pop()
        if hidden or count is None or count > len(free):
            return reason
        a, b, out = (term.replace("...", free[:count]) for term in (a, b, out))
    if any(len(set(term)) != len(term) for term in (a, b, out)):
        return reason
    batch = "".join(c for c in out if c in a and c in b)
    left, right = ("".join(c for c in out if c in own and c not in batch) for own in (a, b))
    summed = "".join(c for c in a if c in b and c not in out)
    whole = len(a) == len(batch + left + summed) and len(b) == len(batch + right + summed)
    if len(summed) != 1 or not whole or (len(left) > 1 and len(right) > 1):
        return reason
    return _Product(a, b, out, left[:-1], right[:-1], batch, left[-1:], right[-1:], summed)


def _hidden(term: str, shape: tuple[object, ...] | None) -> int | None:
    """Return how many axes the ellipsis of a term stands for."""
    return None if shape is None or "..." not in term else len(shape) - len(term) + 3


def _refuse(_: Edit, match: Match) -> str | None:
    if match["a"].dtype != np.float32 or match["b"].dtype != np.float32:
        return f"its operands are of type {match['a'].dtype} and {match['b'].dtype}"
    product = _product(match)
    return product if isinstance(product, str) else None


def _replace(edit: Edit, match: Match) -> None:
    product, write = _product(match), Writer(edit, match.root)
    assert isinstance(product, _Product)
    p = product

    def moved(x: Value, axes: str, wanted: str) -> Value:
        perm = [axes.index(c) for c in wanted]
        return x if perm == sorted(perm) else write("Transpose", x, perm=perm)

    x = moved(match["a"], p.a, p.more_left + p.batch + p.left + p.summed)
    y = moved(match["b"], p.b, p.more_right + p.batch + p.summed + p.right)
    x = x if p.left else write("Unsqueeze", x, write.ints(-2))
    y = y if p.right else write("Unsqueeze", y, write.ints(-1))
    z = write("MatMul", x, y)
    missing = [axis for axis, c in ((-2, p.left), (-1, p.right)) if not c]
    if missing:
        z = write("Squeeze", z, write.ints(*missing))
    found = p.more_left + p.more_right + p.batch + p.left + p.right
    perm = [found.index(c) for c in p.out]
    if perm == sorted(perm):
        edit.supersede(match.root, "Identity", [z])
    else:
        edit.supersede(match.root, "Transpose", [z], {"perm": perm})


RULES = (Rule("Einsum of two -> MatMul", ("Einsum", "a", "b"), _replace, _refuse),)
