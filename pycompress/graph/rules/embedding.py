"""Gather of rows of a constant table -> `embedding` [table, indices]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.activations import ACTIVATION_OPS, activation_of, compute
from pycompress.graph.ir import PRESET, Quantized, in_halves
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import per_channel

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit


def _refuse(edit: Edit, match: Match) -> str | None:
    table = match["table"]
    if table.const is None:
        return f"its table '{table.name}' is computed at run time"
    known = in_halves(table.const) or isinstance(table.const, Quantized)
    if not known and table.dtype != np.float32:
        return f"its table '{table.name}' is of type {table.dtype}, not float32"
    if len(table.const.shape) != 2:
        return f"its table '{table.name}' has {len(table.const.shape)} axes, not 2"
    if match.root.attrs.get("axis", 0) not in {0, -2}:
        return "it gathers columns, not rows"
    return None


def _replace(edit: Edit, match: Match) -> None:
    edit.supersede(match.root, "embedding", [match["table"], match["indices"]], {}, PRESET)


def _refuse_quantized(edit: Edit, match: Match) -> str | None:
    table, scale, gather = match["TABLE"].const, match["SCALE"].const, match.nodes["gather"]
    if not isinstance(table, np.ndarray) or table.dtype.name not in {"int8", "uint8"}:
        return f"its table '{match['TABLE'].name}' is of type {match['TABLE'].dtype}"
    if table.ndim != 2 or gather.attrs.get("axis", 0) not in {0, -2}:
        return f"it does not gather rows of a matrix from '{match['TABLE'].name}'"
    if not isinstance(scale, np.ndarray) or scale.size != 1 or scale.dtype != np.float32:
        return "its rows have scales of their own"
    return None


def _replace_quantized(edit: Edit, match: Match) -> None:
    data, scale, zero = match.array("TABLE"), match.array("SCALE"), match.get("ZERO")
    zeros = np.zeros((), data.dtype) if zero is None else zero.array().reshape(())
    quantized = Quantized(data, scale.reshape(()), zeros, None)
    table = edit.constant(match["TABLE"].name, quantized)
    edit.supersede(match.root, "embedding", [table, match["indices"]], {}, PRESET)


_LARGEST = 1 << 20  # elements of a table that a function is applied to now


def _refuse_table(edit: Edit, match: Match) -> str | None:
    table = match["TABLE"]
    if not isinstance(table.const, np.ndarray) or table.const.dtype != np.float32:
        return f"its table '{table.name}' is not in float32"
    if len(edit.readers(table)) > 1:
        return f"its table '{table.name}' serves another node too"
    if table.const.size > _LARGEST:
        return f"its table '{table.name}' is large"
    if match.root.op == "Add":
        shape = match.root.output.shape
        rank, columns = None if shape is None else len(shape), table.const.shape[1]
        constant = match["C"].const
        if constant is None or per_channel(constant, columns, rank=rank, axis=-1) is None:
            return f"'{match['C'].name}' is not one number for each column"
    elif activation_of(match.root) is None:
        return "its bounds are not constant numbers"
    return None


def _replace_table(edit: Edit, match: Match) -> None:
    """f(table[i]) -> f(table)[i]."""
    table, activation = match.array("TABLE"), activation_of(match.root)
    if activation is not None:
        result = compute(activation, table)
    else:
        shape = match.root.output.shape
        rank = None if shape is None else len(shape)
        added = per_channel(match.array("C"), table.shape[1], rank=rank, axis=-1)
        assert added is not None
        result = table + added
    rows = edit.constant(match["TABLE"].name, result)
    edit.supersede(match.root, "embedding", [rows, match["indices"]], {}, PRESET)


_EMBEDDING = ("rows=pycompress.embedding", "TABLE", "indices")

EPILOGUE = (
    Rule("embedding + row -> embedding", ("Add", _EMBEDDING, "C"), _replace_table, _refuse_table),
    Rule(
        "activation of an embedding -> embedding",
        (ACTIVATION_OPS, _EMBEDDING, "low?", "high?"),
        _replace_table,
        _refuse_table,
    ),
)
"""What may be computed once for each row of the table instead of once for each index."""

RULES = (
    Rule("Gather of a table -> embedding", ("Gather", "table", "indices"), _replace, _refuse),
    Rule(
        "DequantizeLinear of gathered rows -> embedding",
        ("DequantizeLinear", ("gather=Gather", "TABLE", "indices"), "SCALE", "ZERO?"),
        _replace_quantized,
        _refuse_quantized,
    ),
)
