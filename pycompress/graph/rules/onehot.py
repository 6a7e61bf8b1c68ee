"""A one-hot encoding that multiplies a matrix -> rows of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET
from pycompress.graph.pattern import Match, Rule

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Value

_FLOAT, _INT64 = 1, 7  # TensorProto


def _refuse_table(match: Match) -> str | None:
    w = match["W"].const
    if not isinstance(w, np.ndarray) or w.dtype != np.float32 or w.ndim != 2:
        return f"'{match['W'].name}' is not a float32 matrix"
    return None


def _refuse_equal(edit: Edit, match: Match) -> str | None:
    index, classes = match["index"], match["CLASSES"].const
    reason = _refuse_table(match)
    if reason is not None:
        return reason
    count = match.array("W").shape[0]
    if match.nodes["cast"].attrs.get("to") != _FLOAT:
        return "its comparison is not turned into float32"
    if not isinstance(classes, np.ndarray) or classes.dtype.kind not in "iu":
        return f"'{match['CLASSES'].name}' does not hold whole numbers"
    if classes.shape[-1:] != (count,) or not np.array_equal(classes.ravel(), np.arange(count)):
        return f"'{match['CLASSES'].name}' does not count the rows of the matrix"
    if index.shape is None or index.shape[-1:] != (1,) or len(index.shape) < classes.ndim:
        return f"'{index.name}' is not compared with every row"
    return None


def _replace_equal(edit: Edit, match: Match) -> None:
    index = match["index"]
    axis = edit.constant(f"{index.name}_last", np.array([-1], np.int64))
    rows = edit.insert("Squeeze", [index, axis], index)
    rows.shape = None if index.shape is None else index.shape[:-1]
    _gather(edit, match, rows)


def _refuse_one_hot(edit: Edit, match: Match) -> str | None:
    reason = _refuse_table(match)
    if reason is not None:
        return reason
    rank = len(match["index"].shape) if match["index"].shape is not None else None
    depth, values = match.array("DEPTH"), match.array("VALUES")
    if match.nodes["hot"].attrs.get("axis", -1) not in {-1, rank}:
        return "its classes are not on the last axis"
    if depth.size != 1 or int(depth.reshape(())) != match.array("W").shape[0]:
        return "its depth is not the number of rows of the matrix"
    if values.dtype != np.float32 or not np.array_equal(values, [0, 1]):
        return "its values are not 0 and 1"
    if match["index"].dtype is None or match["index"].dtype.kind not in "iu":
        return f"'{match['index'].name}' does not hold whole numbers"
    return None


def _replace_one_hot(edit: Edit, match: Match) -> None:
    """OneHot counts an index below zero from the end."""
    index = match["index"]
    zero, count = (
        edit.constant(f"{index.name}_{stem}", np.array(number, index.dtype))
        for stem, number in (("zero", 0), ("count", match.array("W").shape[0]))
    )
    negative = edit.insert("Less", [index, zero], index)
    negative.dtype = np.dtype(np.bool_)
    wrapped = edit.insert("Add", [index, count], index)
    _gather(edit, match, edit.insert("Where", [negative, wrapped, index], index))


def _gather(edit: Edit, match: Match, rows: Value) -> None:
    """Let rows that do not exist be a row of zeros behind the others.

    -1 (whatever is below zero) and the number of rows (whatever is above) both stand for that row.
    """
    table = match.array("W")
    extended = np.concatenate([table, np.zeros((1, table.shape[1]), table.dtype)])
    if rows.dtype != np.int64:
        rows = edit.insert("Cast", [rows], rows, {"to": _INT64})
        rows.dtype = np.dtype(np.int64)
    for op, bound in (("Max", -1), ("Min", table.shape[0])):
        limit = edit.constant(f"{rows.name}_{op.lower()}", np.array(bound, np.int64))
        rows = edit.insert(op, [rows, limit], rows)
    rows_of = edit.constant(match["W"].name, extended)
    edit.supersede(match.root, "embedding", [rows_of, rows], {}, PRESET)


RULES = (
    Rule(
        "(index == 0, 1, 2 ...) · matrix -> embedding",
        ("MatMul", ("cast=Cast", ("Equal", "index", "CLASSES")), "W"),
        _replace_equal,
        _refuse_equal,
    ),
    Rule(
        "OneHot · matrix -> embedding",
        ("MatMul", ("hot=OneHot", "index", "DEPTH", "VALUES"), "W"),
        _replace_one_hot,
        _refuse_one_hot,
    ),
)
