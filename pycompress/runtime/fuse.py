"""Products of two activations, as the engine has them: transposes and a factor inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def fuse(graph: Graph) -> Graph:
    """Return `graph`, changed: ``MatMul(a * c, b)`` and ``MatMul(a, b) * c`` have an `alpha`.

    A Gemm that is left (its operands are both computed) becomes a MatMul and an Add.

    Notes
    -----
    c is a float32 scalar constant, by Mul or by Div. The product is scaled once instead of its
    operand: float32 rounding apart, the same.
    """
    graph.nodes = [part for node in graph.nodes for part in _product(node)]
    readers = graph.consumers()
    for node in list(graph.nodes):
        if node.is_op("MatMul") and all(v is not None and v.const is None for v in node.inputs):
            _fold_factors(graph, node, readers)
    graph.prune()
    return graph


def _product(node: Node) -> list[Node]:
    """Return the nodes that take the place of a float32 Gemm; any other node as it is."""
    a, b, c = (*node.inputs, None, None, None)[:3]
    out = node.output
    if not node.is_op("Gemm") or any(v is None or v.dtype != np.float32 for v in (a, b, out)):
        return [node]
    keys = {"trans_a": "transA", "trans_b": "transB"}
    attrs: dict[str, int | float] = {k: int(node.attrs.get(old, 0)) for k, old in keys.items()}
    attrs["alpha"] = float(node.attrs.get("alpha", 1.0))
    if c is None:
        return [Node("MatMul", [a, b], [out], attrs, NATIVE, node.name)]
    beta = np.array(node.attrs.get("beta", 1.0), np.float32)
    factor = Value(f"{node.name or out.name}_beta", beta.dtype, (), beta)
    product = Value(f"{out.name}_product", out.dtype, out.shape)
    scaled = c if beta == 1.0 else Value(f"{out.name}_scaled", out.dtype, c.shape)
    scale = [] if beta == 1.0 else [Node("Mul", [c, factor], [scaled], name=node.name)]
    return [
        Node("MatMul", [a, b], [product], attrs, NATIVE, node.name),
        *scale,
        Node("Add", [product, scaled], [out], name=node.name),
    ]


def _fold_factors(graph: Graph, node: Node, readers: Mapping[Value, Sequence[Node]]) -> None:
    alpha = 1.0
    for i, value in enumerate(node.inputs):
        scaled = None if value is None else _scaled(value.producer)
        if scaled is not None:
            node.inputs[i], factor = scaled
            alpha *= factor
    out = node.output
    after = readers.get(out, ())
    if len(after) == 1 and not _among(out, graph.outputs):
        scaled = _scaled(after[0])
        if scaled is not None and scaled[0] is out:
            alpha *= scaled[1]
            behind = after[0].output
            after[0].outputs = [Value(f"{behind.name}_unscaled", behind.dtype, behind.shape)]
            node.outputs = [behind]
            behind.producer = node
    if alpha != 1.0:
        node.domain = NATIVE
        node.attrs["alpha"] = float(alpha)


def _scaled(node: Node | None) -> tuple[Value, float] | None:
    """Return the tensor and the scalar that a Mul or Div multiplies it by."""
    if node is None or not node.is_op("Mul", "Div"):
        return None
    a, b = node.inputs
    for tensor, scalar in ((a, b), (b, a)) if node.op == "Mul" else ((a, b),):
        if (
            tensor is None
            or scalar is None
            or tensor.const is not None
            or not isinstance(scalar.const, np.ndarray)
        ):
            continue
        if scalar.const.size == 1 and scalar.const.ndim <= 1 and scalar.const.dtype == np.float32:
            factor = float(scalar.const.item())
            if np.isfinite(factor) and factor != 0.0:
                return tensor, factor if node.op == "Mul" else 1.0 / factor
    return None


def _among(value: Value, values: Iterable[Value]) -> bool:
    return any(v is value for v in values)
