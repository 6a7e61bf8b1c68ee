"""Weights of 4 bits in blocks that have a scale each, which runtimes know as MatMulNBits.

Standard ONNX has such weights only behind a DequantizeLinear that makes floats of them first;
MatMulNBits, of the domain com.microsoft, is what runtimes have kernels for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import PRESET, Node, Value
from pycompress.kernels.int4 import Int4Weights, quantize_int4

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph
    from pycompress.graph.names import Names

DOMAIN, VERSION = "com.microsoft", 1

BLOCK = 32
"""Weights that share a scale: the fewest that runtimes have kernels for."""

BITS = 4.0 + 32.0 / BLOCK
"""Of a weight, with its share of the scale."""


def put_into_blocks(graph: Graph, keys: set[str], names: Names) -> None:
    """Put a MatMulNBits, and what its layer does behind it, in the place of linear nodes.

    Parameters
    ----------
    graph : Graph
        It is changed.
    keys : set of str
        Names of the outputs of the nodes.
    names : Names
    """
    if not keys:
        return
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.extend(_in_blocks(node, names) if node.output.name in keys else [node])
    graph.nodes = nodes
    graph.opsets[DOMAIN] = VERSION


def weights_of_blocks(node: Node) -> Int4Weights:
    """Return the weights of a MatMulNBits without zero points."""
    _, data, scale = node.inputs[:3]
    shape = (int(node.attrs["K"]), int(node.attrs["N"]))
    if data is None or scale is None:
        msg = f"MatMulNBits '{node.name}' has no weights or no scales"
        raise ValueError(msg)
    scales = scale.array().reshape(data.array().shape[:2])
    return Int4Weights(data.array(), scales, None, shape, int(node.attrs["block_size"]))


def _in_blocks(node: Node, names: Names) -> list[Node]:
    x, weight, bias, residual = (node.input(i) for i in range(4))
    if x is None or weight is None:
        msg = f"node '{node.name}' has no input or no weights"
        raise ValueError(msg)
    result = node.output
    packed = quantize_int4(np.asarray(weight.const), BLOCK)
    k, n = packed.shape
    constants = [
        _constant(names.fresh(f"{weight.name}_int4"), packed.data),
        _constant(names.fresh(f"{weight.name}_scales"), packed.scale.reshape(-1)),
    ]
    attrs = {"K": k, "N": n, "bits": 4, "block_size": BLOCK}
    activation: dict[str, Any] = {
        key: node.attrs[key] for key in ("activation", "alpha", "beta") if key in node.attrs
    }
    if not activation.get("activation"):
        activation = {}
    made: list[Node] = []
    steps = [v for v in (bias, residual) if v is not None]
    left = len(steps) + bool(activation)

    def following() -> Value:
        """Return what the next node computes: the last one what the layer did."""
        nonlocal left
        left -= 1
        if left < 0:
            return result
        return Value(names.fresh(f"{result.name}_part"), result.dtype, result.shape)

    value = following()
    made.append(Node("MatMulNBits", [x, *constants], [value], attrs, DOMAIN, node.name))
    for term in steps:
        total = following()
        made.append(Node("Add", [value, term], [total], name=names.fresh(f"{result.name}_add")))
        value = total
    if activation:
        name = names.fresh(f"{result.name}_act")
        made.append(Node("activation", [value], [following()], activation, PRESET, name))
    return made


def _constant(name: str, array: np.ndarray) -> Value:
    return Value(name, array.dtype, array.shape, array)
