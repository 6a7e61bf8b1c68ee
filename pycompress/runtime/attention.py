"""Attention as one operator: scores, mask, softmax and product with V, without transposes.

q [B, S, H, D] -> Transpose ┐
k [B, T, H, D] -> Transpose ┴ MatMul -> (+ mask) -> Softmax ┐
v [B, T, H, W] -> Transpose ────────────────────────────────┴ MatMul -> Transpose -> [B, S, H, W]

Where q, k and v are parts of one value, [B, S, 3 H D] -> Split -> Reshape, the operator reads that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HEADS_FIRST = [0, 2, 1, 3]
_KEYS_LAST = [0, 2, 3, 1]


def fuse_attention(graph: Graph) -> Graph:
    """Return `graph`, changed: a native ``attention`` in place of what spells one.

    Notes
    -----
    softmax(alpha * Q K' + mask) V, in float32. What stands between must not be read by others.
    """
    readers = graph.consumers()
    outputs = set(graph.outputs)
    nodes = []
    for node in graph.nodes:
        found = _attention(node, readers, outputs) if node.is_op("Transpose") else None
        nodes.append(found or node)
    graph.nodes = nodes
    graph.prune()
    return graph


def _attention(
    last: Node, readers: Mapping[Value, Sequence[Node]], outputs: set[Value]
) -> Node | None:
    """Return the attention whose result `last` transposes, or None."""

    def inner(value: Value | None) -> Node | None:
        """Return what computes a value that nobody else reads."""
        alone = value is not None and value not in outputs and len(readers.get(value, ())) == 1
        return value.producer if value is not None and alone else None

    product = inner(last.inputs[0]) if _moves(last, _HEADS_FIRST) else None
    if product is None or product.op != "MatMul" or not _is_plain(product):
        return None
    softmax, v = inner(product.inputs[0]), _moved(product.inputs[1], _HEADS_FIRST)
    if softmax is None or v is None or not softmax.is_op("Softmax"):
        return None
    if softmax.attrs.get("axis", -1) not in {-1, 3}:
        return None
    scores, mask = inner(softmax.inputs[0]), None
    if scores is not None and scores.is_op("Add"):
        scores, mask = _masked(scores, inner)
    if scores is None or scores.op != "MatMul" or scores.attrs.get("trans_a"):
        return None
    turned = _HEADS_FIRST if scores.attrs.get("trans_b") else _KEYS_LAST
    q, k = _moved(scores.inputs[0], _HEADS_FIRST), _moved(scores.inputs[1], turned)
    if q is None or k is None or any(v.dtype != np.float32 for v in (q, k, v)):
        return None
    attrs: dict[str, Any] = {"alpha": float(scores.attrs.get("alpha", 1.0))}
    whole = _parts_of((q, k, v))
    if whole is not None:
        source, attrs = whole[0], attrs | whole[1]
        q = k = v = source
    inputs: list[Value | None] = [q, k, v, *([] if mask is None else [mask])]
    return Node("attention", inputs, last.outputs, attrs, NATIVE, softmax.name)


def _parts_of(values: Sequence[Value]) -> tuple[Value, dict[str, Any]] | None:
    """Return the value that q, k and v are columns of, and the attributes that say which."""
    found = [_part(value) for value in values]
    cut, _, heads = found[0] or (None, None, None)
    source = None if cut is None else cut.inputs[0]
    if (
        cut is None
        or source is None
        or any(f is None or (f[0], f[2]) != (cut, heads) for f in found)
    ):
        return None
    starts: dict[Value, int] = {}
    at = 0
    for out in cut.outputs:
        width = None if out.shape is None else out.shape[-1]
        if not isinstance(width, int):
            return None
        starts[out] = at
        at += width
    offsets = [starts[f[1]] for f in found if f is not None]
    assert heads is not None
    return source, {"heads": heads[0], "depth": heads[1], "offsets": offsets}


def _part(value: Value) -> tuple[Node, Value, tuple[int, int]] | None:
    """Return the Split, its output and the heads that a Reshape makes of its columns."""
    reshape = value.producer
    part = None if reshape is None or not reshape.is_op("Reshape") else reshape.inputs[0]
    cut = None if part is None else part.producer
    if (
        part is None
        or cut is None
        or not cut.is_op("Split")
        or cut.attrs.get("axis", 0) not in {2, -1}
    ):
        return None
    given, wanted = part.shape, value.shape
    if given is None or wanted is None or len(given) != 3 or len(wanted) != 4:
        return None
    heads, depth = wanted[2:]
    if not isinstance(heads, int) or not isinstance(depth, int):
        return None
    return (cut, part, (heads, depth)) if given == (*wanted[:2], heads * depth) else None


def _masked(
    add: Node, inner: Callable[[Value | None], Node | None]
) -> tuple[Node | None, Value | None]:
    """Return the product and the mask that are added, (None, None) when it is no such sum."""
    for scores, mask in (add.inputs, add.inputs[::-1]):
        node = inner(scores)
        if node is None or node.op != "MatMul" or mask is None or mask.shape is None:
            continue
        if len(mask.shape) <= 4 and mask.dtype == np.float32:
            return node, mask
    return None, None


def _is_plain(product: Node) -> bool:
    transposed = product.attrs.get("trans_a") or product.attrs.get("trans_b")
    return not transposed and product.attrs.get("alpha", 1.0) == 1.0


def _moves(node: Node, perm: Sequence[int]) -> bool:
    return node.is_op("Transpose") and list(node.attrs.get("perm") or ()) == list(perm)


def _moved(value: Value | None, perm: Sequence[int]) -> Value | None:
    """Return what a Transpose with these axes makes `value` of."""
    node = None if value is None else value.producer
    return node.inputs[0] if node is not None and _moves(node, perm) else None
