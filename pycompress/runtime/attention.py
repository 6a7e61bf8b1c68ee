"""Attention as one operator: scores, mask, softmax and product with V, without transposes.

q [B, S, H, D] -> Transpose ┐
k [B, T, H, D] -> Transpose ┴ MatMul -> (+ mask) -> Softmax ┐
v [B, T, H, W] -> Transpose ────────────────────────────────┴ MatMul -> Transpose -> [B, S, H, W]

Where q, k and v are parts of one value, [B, S, 3 H D] -> Split -> Reshape, the operator reads that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.moves import NATIVE
from pycompress.runtime.permute import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEADS_FIRST = [0, 2, 1, 3]
_KEYS_LAST = [0, 2, 3, 1]
_LAST_TWO = [0, 1, 3, 2]


def fuse_attention(graph: Graph) -> Graph:
    """Return `graph`, changed: a native ``attention`` in place of what spells one.

    Notes
    -----
    softmax(alpha * Q K' + mask) V, in float32. What stands between must not be read by others.
    Operands may lie as [batch, heads, rows, depth], too, and several heads of Q may share one of K
    and V.
    """
    search = _Search(graph)
    found = [(node, search.attention(node)) for node in graph.nodes if node.op == "MatMul"]
    made = {id(last): node for _, pair in found if pair is not None for last, node in [pair]}
    graph.nodes = [made.get(id(node), node) for node in graph.nodes]
    graph.prune()
    return graph


class _Operand(NamedTuple):
    """Q, K, V or the result: [batch, rows, heads, depth], or with the heads first."""

    value: Value
    heads_first: bool


class _Search:
    """Looks for attention in a graph."""

    def __init__(self, graph: Graph) -> None:
        self.readers = graph.consumers()
        self.outputs = set(graph.outputs)

    def inner(self, value: Value | None) -> Node | None:
        """Return what computes a value that nobody else reads."""
        alone = value is not None and value not in self.outputs and len(self.readers[value]) == 1
        return value.producer if value is not None and alone else None

    def attention(self, product: Node) -> tuple[Node, Node] | None:
        """Return the last node of what a product with V ends, and the attention to replace it."""
        if not _is_plain(product):
            return None
        softmax, guarded = self._softmax(product.inputs[0])
        if softmax is None or softmax.attrs.get("axis", -1) not in {-1, 3}:
            return None
        scores, mask = self.inner(softmax.inputs[0]), None
        if scores is not None and scores.is_op("Add"):
            scores, mask = _masked(scores, self.inner)
        if scores is None or scores.op != "MatMul" or scores.attrs.get("trans_a"):
            return None
        q, v = _operand(scores.inputs[0]), _operand(product.inputs[1])
        k = _operand(scores.inputs[1], turned=not scores.attrs.get("trans_b"))
        if q is None or k is None or v is None:
            return None
        if any(part.value.dtype != np.float32 for part in (q, k, v)) or not _fit(q, k, v):
            return None
        last, first = self._last(product)
        attrs: dict[str, Any] = {"alpha": float(scores.attrs.get("alpha", 1.0))}
        if guarded:
            attrs["nan_to_zero"] = 1
        whole = _parts_of((q.value, k.value, v.value))
        if whole is not None and not any(part.heads_first for part in (q, k, v)):
            source, attrs = whole[0], attrs | whole[1]
            q, k, v = (_Operand(source, heads_first=False) for _ in range(3))
        lies = [q.heads_first, k.heads_first, v.heads_first, first]
        if any(lies):
            attrs["heads_first"] = [int(lie) for lie in lies]
        inputs: list[Value | None] = [q.value, k.value, v.value, *([] if mask is None else [mask])]
        return last, Node("attention", inputs, last.outputs, attrs, NATIVE, softmax.name)

    def _softmax(self, value: Value | None) -> tuple[Node | None, bool]:
        """Return the Softmax, and whether what is no number becomes 0 behind it."""
        node = self.inner(value)
        if node is None or not node.is_op("Where"):
            return (node, False) if node is not None and node.is_op("Softmax") else (None, False)
        condition, zero, weights = node.inputs
        test = self.inner(condition)
        if test is None or not test.is_op("IsNaN") or test.inputs[0] is not weights:
            return None, False
        if zero is None or not isinstance(zero.const, np.ndarray) or zero.const.any():
            return None, False
        softmax = None if weights is None else weights.producer
        if weights is None or softmax is None or not softmax.is_op("Softmax"):
            return None, False
        alone = weights not in self.outputs and set(self.readers[weights]) == {test, node}
        return (softmax, True) if alone and zero.const.size == 1 else (None, False)

    def _last(self, product: Node) -> tuple[Node, bool]:
        """Return the node whose result the attention gives, and whether heads come first there."""
        out = product.output
        after = self.readers.get(out, ())
        if out not in self.outputs and len(after) == 1 and _moves(after[0], _HEADS_FIRST):
            return after[0], False
        return product, True


def _operand(value: Value | None, *, turned: bool = False) -> _Operand | None:
    """Return where Q, K or V lies, looking through transposes; `turned`: it is K'."""
    if turned:
        before = _moved(value, _KEYS_LAST)
        if before is not None:
            return _Operand(before, heads_first=False)
        value = _moved(value, _LAST_TWO)
    if value is None:
        return None
    value = _shared(value)
    before = _moved(value, _HEADS_FIRST)
    return _Operand(value, heads_first=True) if before is None else _Operand(before, False)


def _shared(value: Value) -> Value:
    """Return the fewer heads that an Unsqueeze, an Expand and a Reshape repeat, or the value."""
    shape, nodes, source = value.shape, [], value
    for op in ("Reshape", "Expand", "Unsqueeze"):
        node = source.producer
        if node is None or not node.is_op(op) or node.inputs[0] is None:
            return value
        nodes.append(node)
        source = node.inputs[0]
    few, many = source.shape, nodes[1].output.shape
    if numbers(nodes[2].input(1)) not in ([2], [-3]):  # in front, the heads would repeat in turns
        return value
    if few is None or many is None or shape is None or len(few) != 4 or len(many) != 5:
        return value
    heads, times = many[1:3]
    if not isinstance(heads, int) or not isinstance(times, int) or None in (*few, *shape):
        return value
    repeated = many == (*few[:2], times, *few[2:]) and shape == (few[0], heads * times, *few[2:])
    return source if repeated else value


def _fit(q: _Operand, k: _Operand, v: _Operand) -> bool:
    """Tell whether batch and heads are the same, or only the perms of transposes are known."""
    if not any(part.heads_first for part in (q, k, v)) and None in (
        q.value.shape,
        k.value.shape,
        v.value.shape,
    ):
        return True
    sizes = []
    for part in (q, k, v):
        shape = part.value.shape
        if shape is None or len(shape) != 4:
            return False
        sizes.append((shape[0], shape[1 if part.heads_first else 2]))
    (batch, heads), (k_batch, k_heads), (v_batch, v_heads) = sizes
    if None in (batch, k_batch, v_batch) and any(part.heads_first for part in (q, k, v)):
        return False
    if (batch, batch) != (k_batch, v_batch) or k_heads != v_heads:
        return False
    if heads == k_heads or not (isinstance(heads, int) and isinstance(k_heads, int)):
        return heads == k_heads
    return k_heads > 0 and heads % k_heads == 0


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
        if len(mask.shape) <= 4 and mask.dtype == np.float32 and not _widens(mask, node.output):
            return node, mask
    return None, None


def _widens(mask: Value, scores: Value) -> bool:
    """Tell whether the scores are repeated for a mask that is larger along some axis."""
    pairs = zip((scores.shape or ())[::-1], (mask.shape or ())[::-1], strict=False)
    return any(size == 1 and wanted != 1 for size, wanted in pairs)


def _is_plain(product: Node) -> bool:
    transposed = product.attrs.get("trans_a") or product.attrs.get("trans_b")
    return not transposed and product.attrs.get("alpha", 1.0) == 1.0


def _moves(node: Node, perm: Sequence[int]) -> bool:
    return node.is_op("Transpose") and list(node.attrs.get("perm") or ()) == list(perm)


def _moved(value: Value | None, perm: Sequence[int]) -> Value | None:
    """Return what a Transpose with these axes makes `value` of."""
    node = None if value is None else value.producer
    return node.inputs[0] if node is not None and _moves(node, perm) else None
