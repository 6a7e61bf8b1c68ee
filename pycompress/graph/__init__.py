"""The graph of a model: its data structure, passes, rules that find preset formats, export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pycompress.graph.ir import (
    PRESET,
    Constant,
    Dim,
    Graph,
    Node,
    Quantized,
    Shape,
    Value,
)

if TYPE_CHECKING:
    from pycompress.graph.brief import with_brief_names
    from pycompress.graph.files import save
    from pycompress.graph.onnx_writer import export
    from pycompress.graph.passes import simplify
    from pycompress.graph.rewrite import Decision, Rewrite, to_formats

__all__ = [
    "PRESET",
    "Constant",
    "Decision",
    "Dim",
    "Graph",
    "Node",
    "Quantized",
    "Rewrite",
    "Shape",
    "Value",
    "export",
    "save",
    "simplify",
    "to_formats",
    "with_brief_names",
]

_LAZY = {
    "Decision": "rewrite",
    "Rewrite": "rewrite",
    "to_formats": "rewrite",
    "simplify": "passes",
    "export": "onnx_writer",
    "save": "files",
    "with_brief_names": "brief",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
