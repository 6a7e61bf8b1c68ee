"""Gather of rows of a constant table -> `embedding` [table, indices]."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


RULES = (Rule("Gather of a table -> embedding", ("Gather", "table", "indices"), _replace, _refuse),)
