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


def _constant_bytes(graph: Graph, keys: set[str]) -> tuple[dict[str, int], int]:
    """Bytes of constants by key, and those of all other nodes together."""
    counted: set[int] = set()
    own: dict[str, int] = {}
    rest = 0
    for node in graph.nodes:
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
