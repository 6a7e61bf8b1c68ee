"""GroupNorm as exporters write it, as one operator whose channels come last.

x -> Reshape [N, groups, all the rest] -> InstanceNormalization -> Reshape like x -> Mul -> Add
"""

from __future__ import annotations

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.gain import only_reader
from pycompress.runtime.moves import NATIVE


def find_group_norms(graph: Graph) -> Graph:
    """Return `graph`, changed: a native ``group_norm`` in place of what spells one.

    Notes
    -----
    The operator is ONNX's GroupNormalization-21, whose scale and bias are those of the channels.
    """
    readers = graph.consumers()
    outputs = set(graph.outputs)
    for node in list(graph.nodes):
        if not node.is_op("InstanceNormalization"):
            continue
        x = _source(node)
        last = only_reader(node.output, readers, outputs) if x is not None else None
        if x is None or last is None or not last.is_op("Reshape") or last.output.shape != x.shape:
            continue
        scale, bias = (_by_channel(node.input(i), x) for i in (1, 2))
        if scale is None or bias is None:
            continue
        for op in ("Mul", "Add"):
            behind = only_reader(last.output, readers, outputs)
            number = _number(behind, last.output, x) if behind and behind.is_op(op) else None
            if behind is None or number is None:
                continue
            scale, bias = (scale * number, bias * number) if op == "Mul" else (scale, bias + number)
            last = behind
        graph.nodes.append(_written(node, last, x, scale, bias))
    graph.prune()
    return graph


def _source(norm: Node) -> Value | None:
    """Return the value whose channels a Reshape puts into the groups that are normalized."""
    groups = None if norm.inputs[0] is None else norm.inputs[0].producer
    x = None if groups is None or not groups.is_op("Reshape") else groups.inputs[0]
    wide = None if groups is None else groups.output.shape
    if x is None or x.shape is None or wide is None or len(wide) != 3 or len(x.shape) < 3:
        return None
    whole = wide[0] == x.shape[0] and wide[0] is not None and None not in x.shape
    channels, count = x.shape[1], wide[1]
    fits = isinstance(channels, int) and isinstance(count, int) and channels % count == 0
    return x if whole and fits and x.dtype == np.float32 else None


def _by_channel(value: Value | None, x: Value) -> np.ndarray | None:
    """Return a constant of the groups for each channel, in double precision."""
    channels = (x.shape or (0, 0))[1]
    if value is None or not isinstance(value.const, np.ndarray) or not isinstance(channels, int):
        return None
    return value.const.astype(np.float64).repeat(channels // value.const.size)


def _number(node: Node, value: Value, x: Value) -> np.ndarray | None:
    """Return the numbers of the channels that `node` combines a value with."""
    shape = x.shape or ()
    for other in node.inputs:
        if other is value or other is None or not isinstance(other.const, np.ndarray):
            continue
        dims = (1,) * (len(shape) - other.const.ndim) + other.const.shape
        if len(dims) == len(shape) and dims[1] == other.const.size and dims[1] in (1, shape[1]):
            return other.const.astype(np.float64).reshape(-1)
    return None


def _written(norm: Node, last: Node, x: Value, scale: np.ndarray, bias: np.ndarray) -> Node:
    assert norm.inputs[0] is not None
    groups = (norm.inputs[0].shape or (0, 0))[1]
    out = last.output
    last.outputs = [Value(f"{out.name}_unused", out.dtype)]
    parts = [
        Value(f"{out.name}_{name}", np.dtype(np.float32), part.shape, part.astype(np.float32))
        for name, part in (("scale", scale), ("bias", bias))
    ]
    attrs = {"groups": groups, "epsilon": norm.attrs.get("epsilon", 1e-5)}
    return Node("group_norm", [x, *parts], [out], attrs, NATIVE, norm.name)
