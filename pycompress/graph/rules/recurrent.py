"""Recurrent nodes of constant weights -> `recurrent` [x, w, r, b, lengths, first h, first c]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.expand import DYNAMIC
from pycompress.graph.ir import PRESET
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import why_not_weight

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit


def _refuse(edit: Edit, match: Match) -> str | None:
    bias = match.get("b")
    for name in ("w", "r"):
        reason = why_not_weight(match[name], 3, axis=1)
        if reason is not None:
            return reason
    if bias is not None and bias.const is None:
        return f"its bias '{bias.name}' is computed at run time"
    if match.get("p") is not None:
        return "it has peepholes"
    return None


def _replace(edit: Edit, match: Match) -> None:
    node = match.root
    attrs = {**node.attrs, "cell": node.op}
    if node.metadata.pop(DYNAMIC, None) == "1":
        attrs["dynamic"] = True
    edit.supersede(node, "recurrent", list(node.inputs), attrs, PRESET)


RULES = (
    Rule(
        "LSTM, GRU or RNN with constant weights -> recurrent",
        ("LSTM|GRU|RNN", "x", "w", "r", "b?", "lengths?", "h?", "c?", "p?"),
        _replace,
        _refuse,
    ),
)
