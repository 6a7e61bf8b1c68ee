"""Where the bytes of a model file are, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycompress.graph.ir import Quantized

if TYPE_CHECKING:
    from pycompress.graph.ir import Constant, Graph


@dataclass(frozen=True)
class LedgerRow:
    """Bytes of one node's constants.

    Attributes
    ----------
    node : str
        The node's name, or in parentheses what the row gathers.
    format : str
        Its preset format; empty on gathering rows.
    before, after : int
    """

    node: str
    format: str
    before: int
    after: int


@dataclass(frozen=True)
class Ledger:
    """A file's bytes by node.

    A constant counts for the first node that reads it. The last row holds what is left of each file
    (names, attributes, framing, and on the side of the original the constants that simplification
    removed), so the rows of either column add up to the size of the file.
    """

    rows: tuple[LedgerRow, ...]

    @property
    def before(self) -> int:
        """Bytes of the original file."""
        return sum(row.before for row in self.rows)

    @property
    def after(self) -> int:
        """Bytes of the compressed file."""
        return sum(row.after for row in self.rows)


def make_ledger(
    names: dict[str, tuple[str, str]],
    before: Graph,
    after: Graph,
    file_before: int,
    file_after: int,
) -> Ledger:
    """Draw up the ledger of a compression.

    Parameters
    ----------
    names : dict
        Key of a node (its first output's name) -> (name, format), for the nodes that get a row of
        their own.
    before, after : Graph
        The simplified float graph and the converted one.
    file_before, file_after : int
        Sizes of the two files in bytes.
    """
    old, old_rest = _constant_bytes(before, set(names))
    new, new_rest = _constant_bytes(after, set(names))
    rows = [LedgerRow(*names[key], old.get(key, 0), new.get(key, 0)) for key in names]
    rows.append(LedgerRow("(other constants)", "", old_rest, new_rest))
    left = (
        file_before - sum(row.before for row in rows),
        file_after - sum(row.after for row in rows),
    )
    rows.append(LedgerRow("(structure)", "", *left))
    return Ledger(tuple(rows))


def make_type_ledger(a: Graph, b: Graph, file_a: int, file_b: int) -> Ledger:
    """Draw up the bytes of two models by the type of their constants, largest in A first."""
    sums = [_bytes_by_type(graph) for graph in (a, b)]
    types = sorted({*sums[0], *sums[1]}, key=lambda t: (-sums[0].get(t, 0), t))
    rows = [LedgerRow(t, "", sums[0].get(t, 0), sums[1].get(t, 0)) for t in types]
    left = file_a - sum(r.before for r in rows), file_b - sum(r.after for r in rows)
    return Ledger((*rows, LedgerRow("(structure)", "", *left)))


def _bytes_by_type(graph: Graph) -> dict[str, int]:
    found: dict[str, int] = {}
    counted: set[int] = set()
    for node in graph.everywhere():
        for value in node.inputs:
            constant = None if value is None else value.const
            if constant is None or id(constant) in counted:
                continue
            counted.add(id(constant))
            data = constant.data if isinstance(constant, Quantized) else constant
            found[data.dtype.name] = found.get(data.dtype.name, 0) + stored_bytes(constant)
    return found


def _constant_bytes(graph: Graph, keys: set[str]) -> tuple[dict[str, int], int]:
    """Bytes of constants by key, and those of all other nodes together."""
    counted: set[int] = set()
    own: dict[str, int] = {}
    rest = 0
    for node in graph.everywhere():
        # the layer whose output was renamed by an inserted pair or a separated residual keeps its
        # weights' row
        key = node.output.name if node.outputs else ""
        for value in node.inputs:
            if value is None or value.const is None or id(value.const) in counted:
                continue
            counted.add(id(value.const))
            if key in keys:
                own[key] = own.get(key, 0) + stored_bytes(value.const)
            else:
                rest += stored_bytes(value.const)
    return own, rest


def stored_bytes(constant: Constant) -> int:
    """Return the bytes of a constant in a file, which leaves out zero points of zero."""
    if isinstance(constant, Quantized) and not constant.zero_point.any():
        return constant.data.nbytes + constant.scale.nbytes
    return constant.nbytes
