"""One model, looked at: its face, and its nodes with constants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph import simplify, to_formats
from pycompress.graph.ir import Quantized, in_halves
from pycompress.readers import read
from pycompress.report.ledger import stored_bytes
from pycompress.report.report import plain
from pycompress.report.sizes import model_bytes

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node, Value


@dataclass(frozen=True)
class ValueSpec:
    """An input or output: name, dtype and shape as declared."""

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class NodeSpec:
    """A node that reads constants.

    Attributes
    ----------
    node : str
    format : str
        Its preset format; its operator in parentheses when it fits none.
    precision : "int8 static", "int8 dynamic", "int8 weights" or "float"
    bytes : int
        Of the constants that it is the first to read.
    reason : str
        Why it fits no format.
    """

    node: str
    format: str
    precision: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class Inspection:
    """The outcome of `pycompress.inspect`."""

    path: str
    size: int
    opset: int
    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    operators: dict[str, int]
    nodes: tuple[NodeSpec, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        return result


def inspect(model: str | Path) -> Inspection:
    """Look at a model without running it.

    Parameters
    ----------
    model : path

    Returns
    -------
    Inspection

    Raises
    ------
    ModelError
        The file is not a model that can be read.
    """
    path = Path(model)
    graph = read(path)
    rewrite = to_formats(simplify(graph))
    reasons = {d.node: d.reason for d in rewrite.decisions if d.format is None}
    operators = Counter(node.op for node in rewrite.graph.everywhere())
    return Inspection(
        str(model),
        model_bytes(path),
        graph.opset,
        tuple(_value(v) for v in graph.inputs),
        tuple(_value(v) for v in graph.outputs),
        dict(operators.most_common()),
        tuple(_nodes(rewrite.graph, reasons)),
    )


def _value(value: Value) -> ValueSpec:
    return ValueSpec(value.name, str(value.dtype) if value.dtype is not None else "?", value.shape)


def _nodes(graph: Graph, reasons: dict[str, str]) -> list[NodeSpec]:
    counted: set[int] = set()
    rows = []
    for node in graph.everywhere():
        size = 0
        for value in node.inputs:
            if value is not None and value.const is not None and id(value.const) not in counted:
                counted.add(id(value.const))
                size += stored_bytes(value.const)
        name = node.name or node.output.name
        if node.is_preset() or (
            size >= 1024 and not node.is_op("QuantizeLinear", "DequantizeLinear")
        ):
            format_name = node.op if node.is_preset() else f"({node.op})"
            rows.append(NodeSpec(name, format_name, _precision(node), size, reasons.get(name, "")))
    return rows


def _precision(node: Node) -> str:
    constants = [v.const for v in node.inputs if v is not None]
    if node.is_preset() and any(in_halves(c) for c in constants):
        return "bf16"
    if not any(isinstance(c, Quantized) and c.data.dtype in (np.int8, np.uint8) for c in constants):
        return "float"
    if node.attrs.get("dynamic"):
        return "int8 dynamic"
    x = node.input(0)
    static = x is not None and x.producer is not None and x.producer.is_op("DequantizeLinear")
    return "int8 static" if static and node.is_preset("conv", "linear") else "int8 weights"
