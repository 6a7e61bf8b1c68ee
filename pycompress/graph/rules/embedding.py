"""Gather of rows of a constant table -> `embedding` [table, indices]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET, Quantized
from pycompress.graph.pattern import Match, Rule

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit


def _refuse(edit: Edit, match: Match) -> str | None:  # noqa: ARG001
    table = match["table"]
    if table.const is None:
        return f"its table '{table.name}' is computed at run time"
    if not isinstance(table.const, Quantized) and table.const.dtype.name != "float32":
        return f"its table '{table.name}' is of type {table.const.dtype}, not float32"
    if len(table.const.shape) != 2:
        return f"its table '{table.name}' has {len(table.const.shape)} axes, not 2"
    if match.root.attrs.get("axis", 0) not in {0, -2}:
        return "it gathers columns, not rows"
    return None


def _replace(edit: Edit, match: Match) -> None:
    edit.supersede(match.root, "embedding", [match["table"], match["indices"]], {}, PRESET)


def _refuse_quantized(edit: Edit, match: Match) -> str | None:  # noqa: ARG001
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


RULES = (
    Rule("Gather of a table -> embedding", ("Gather", "table", "indices"), _replace, _refuse),
    Rule(
        "DequantizeLinear of gathered rows -> embedding",
        ("DequantizeLinear", ("gather=Gather", "TABLE", "indices"), "SCALE", "ZERO?"),
        _replace_quantized,
        _refuse_quantized,
    ),
)
